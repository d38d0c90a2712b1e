// Package dest is a destination named by an untrusted client, made canonical
// once, and the judgement of which addresses are public.
package dest

// An Error says why a text is not a destination. Public may be shown to the
// client that sent it.
type Error struct {
	Code   string // host_invalid, port_invalid, authority_invalid
	Public string
}

func (e *Error) Error() string { return e.Public }

func invalid(code, public string) error { return &Error{code, public} }
