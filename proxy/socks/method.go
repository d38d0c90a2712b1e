package socks

import (
	"fmt"
	"io"
	"slices"
)

// Ways to say who one is.
const (
	methodNone     = 0
	methodPassword = 2
	methodRefused  = 0xff
)

// agree chooses a method among those that the client offers, and follows it. Where
// no password is asked for, one that is shown all the same says nothing.
func agree(c io.ReadWriter, offered []byte, password func([]byte) error) error {
	method := byte(methodRefused)
	switch {
	case password == nil && slices.Contains(offered, methodNone):
		method = methodNone
	case slices.Contains(offered, methodPassword):
		method = methodPassword
	}
	if _, err := c.Write([]byte{Version5, method}); err != nil {
		return err
	}
	switch method {
	case methodNone:
		return nil
	case methodRefused:
		return ErrNoMethod
	}
	shown, err := readPassword(c)
	if err != nil {
		return err
	}
	if password != nil {
		err = password(shown)
	}
	status := byte(0)
	if err != nil {
		status = 1
	}
	if _, werr := c.Write([]byte{passwordVersion, status}); err == nil {
		err = werr
	}
	return err
}

const passwordVersion = 1 // of the exchange of RFC 1929

// readPassword reads user and password, of which the user says nothing.
func readPassword(c io.Reader) ([]byte, error) {
	v, err := take(c, 1)
	if err != nil {
		return nil, err
	}
	if v[0] != passwordVersion {
		return nil, ErrMalformed
	}
	if _, err := counted(c); err != nil {
		return nil, err
	}
	return counted(c)
}

// counted reads a byte that says how many follow, and those.
func counted(c io.Reader) ([]byte, error) {
	n, err := take(c, 1)
	if err != nil {
		return nil, err
	}
	return take(c, int(n[0]))
}

// take reads exactly so many bytes.
func take(c io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, fmt.Errorf("%w: it ends early: %w", ErrMalformed, err)
	}
	return b, nil
}
