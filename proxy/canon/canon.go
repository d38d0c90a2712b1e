// Package canon makes the one form of a request in which policy sees it and it
// is forwarded, and refuses what has two readings.
package canon

// An Error says what is wrong with a request. Public may be shown to its sender.
type Error struct{ Code, Public string }

func (e *Error) Error() string { return e.Code + ": " + e.Public }

func invalid(code, public string) error { return &Error{code, public} }
