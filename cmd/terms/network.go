package terms

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"

	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/proxy/resolve"
)

// A fixedResolver knows some names and asks the system for the rest.
type fixedResolver struct {
	fixed map[dest.Host]netip.Addr
	rest  proxy.Resolver
}

// Resolver knows these names by --resolve or network.resolve, and asks servers for
// the rest; nil asks those of the system.
func Resolver(fixed map[dest.Host]netip.Addr, servers *resolve.Resolver) proxy.Resolver {
	if servers != nil {
		return &fixedResolver{fixed, servers}
	}
	return &fixedResolver{fixed, &net.Resolver{PreferGo: true}}
}

// LookupNetIP looks a name up.
func (r *fixedResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if h, err := dest.ParseHost(host); err == nil {
		if a, ok := r.fixed[h]; ok {
			return []netip.Addr{a}, nil
		}
	}
	return r.rest.LookupNetIP(ctx, network, host)
}

// NameServers are asked for what is no address: these, or the system's when there are
// none.
func NameServers(servers *resolve.Resolver) proxy.Exchanger {
	if servers != nil {
		return servers
	}
	return resolve.NewSystem("/etc/resolv.conf")
}

// ParseRoots are the system's CAs and those of files in PEM.
func ParseRoots(files []string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s: there is no PEM certificate in it", f)
		}
	}
	return pool, nil
}
