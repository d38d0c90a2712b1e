package admin

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
)

// maxSocketPath is how long the path of a socket may be (unix(7)).
const maxSocketPath = 107

// An unreachable says why a sidecar did not answer, and what helps.
type unreachable struct {
	at   string // path of the control socket, or https://HOST:PORT
	over bool   // TCP
	flag string // that names the socket
	err  error
}

func (u *unreachable) Unwrap() error { return u.err }

func (u *unreachable) Error() string {
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(u.err, &bad):
		why, hint := bad.Err.Error(), ""
		if x := (x509.UnknownAuthorityError{}); errors.As(bad.Err, &x) {
			hint = "; name the file of its CA with --control-ca"
		}
		return fmt.Sprintf("the certificate of the sidecar at %s does not hold: %s%s", u.at, strings.TrimPrefix(why, "x509: "), hint)
	case u.over && errors.Is(u.err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nobody listens at %s: is sallyport serve running, and does its configuration name that address as control.listen?", u.at)
	case !u.over && len(u.at) > maxSocketPath:
		return fmt.Sprintf("%s has %d bytes, and the path of a socket has at most %d: what %s names is no socket", u.at, len(u.at), maxSocketPath, u.flag)
	case u.over:
		return fmt.Sprintf("the sidecar at %s does not answer: %v", u.at, u.err)
	case errors.Is(u.err, syscall.ENOENT):
		hint := ""
		if strings.Contains(u.at, ":") && !strings.Contains(u.at, "/") {
			hint = "; over TCP it is https://" + u.at
		}
		return fmt.Sprintf("there is no control socket %s: start sallyport serve, or name what its configuration calls control.socket with %s%s", u.at, u.flag, hint)
	case errors.Is(u.err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nobody listens on the control socket %s: is sallyport serve running?", u.at)
	case errors.Is(u.err, syscall.EACCES):
		return fmt.Sprintf("this user may not open the control socket %s, nor command the sidecar", u.at)
	}
	return fmt.Sprintf("the sidecar at %s does not answer: %v", u.at, u.err)
}

// unanswered is what a call returns that had no answer.
func (c *Client) unanswered(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	if c.socket == "" {
		return &unreachable{at: c.base, over: true, err: err}
	}
	return &unreachable{at: c.socket, flag: cmp.Or(c.flag, "--control"), err: err}
}
