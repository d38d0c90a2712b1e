package bundle

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"

	"sallyport/dest"
)

// next is where a redirect leads to: over TLS it stays over TLS, and it leads no
// further than five times.
func (h *HTTP) next(from *url.URL, location string, hop int) (*url.URL, error) {
	to, err := from.Parse(location)
	switch {
	case location == "" || err != nil:
		return nil, failed(BadRedirect, "%s: it leads elsewhere, and does not say where", Shown(from))
	case hop == maxHops:
		return nil, failed(BadRedirect, "%s: it leads elsewhere more than %d times", Shown(h.o.URL), maxHops)
	case to.Scheme != "https" && to.Scheme != h.o.URL.Scheme, to.Scheme != "https" && from.Scheme == "https":
		return nil, failed(BadRedirect, "%s: it leads to %s, which is not over TLS", Shown(from), Shown(to))
	case to.Host == "" || to.User != nil:
		return nil, failed(BadRedirect, "%s: it leads to %s, which is no place for a bundle", Shown(from), Shown(to))
	}
	to.Fragment = ""
	return to, nil
}

// sameOrigin reports whether what one may be shown is for the other, too.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && a.Hostname() == b.Hostname() && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// notMetadata keeps whoever publishes a bundle, or has a say in names, from making
// us ask a metadata service.
func notMetadata(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	if dest.Judge(ip, nil).Class == dest.Metadata {
		return fmt.Errorf("%s is a metadata service, where no bundle is", ip)
	}
	return nil
}
