package credentials

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// basic is a user and the secret as their password (RFC 7617).
type basic struct {
	plain
	user string
}

func (basic) String() string { return "header:Authorization" }

func (b basic) check() error {
	if strings.ContainsFunc(b.user, badUser) {
		return fmt.Errorf("the user of basic has a colon or a control character")
	}
	return nil
}

func badUser(r rune) bool { return r < ' ' || r == ':' || r == 0x7f }

func (basic) strip(r *Request) bool { return stripHeader(r.Header, "Authorization") }

func (b basic) put(r *Request, v Value) error {
	if b.user == "" && v.Public["user"] == "" {
		b.user = r.user
	}
	pair := b.rendered(v)
	if b.user == "" && strings.ContainsFunc(v.Public["user"], badUser) {
		return unplaced("the user that the source gives has a colon or a control character")
	}
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(pair))
	return nil
}

// rendered is the pair, which is put on the request in base64.
func (b basic) rendered(v Value) (pair []byte) {
	user := b.user
	if user == "" {
		user = v.Public["user"]
	}
	v.Secret.use(func(s []byte) { pair = append([]byte(user+":"), s...) })
	return pair
}
