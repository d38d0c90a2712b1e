package credentials

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A Placeholder is what a sandbox is given in the place of a secret: it looks like one,
// is another in each sandbox, and is worth nothing anywhere else.
type Placeholder struct {
	Env   string // variable in which it is given
	Shape string // text and one {N} for N random letters and digits; "" is the shape of known kinds of tokens, else {40}
}

// A ClientValue says what becomes of a value that the client has in a credential's
// place of its own.
type ClientValue string

const (
	StripValue         ClientValue = "strip"               // it is taken off; so is ""
	RequirePlaceholder ClientValue = "require_placeholder" // it has to be the placeholder
	RejectValue        ClientValue = "reject"              // there may be none
)

// prefixes are those by which well-known tokens are told, the longer ones first.
var prefixes = []string{"github_pat_", "sk-ant-api03-", "sk-proj-", "sk-ant-", "glpat-", "xoxb-", "xoxp-", "ghp_", "gho_", "ghu_", "ghs_", "npm_", "pypi-", "dckr_pat_", "hvs.", "hf_", "SG.", "rk_live_", "sk_live_", "sk_test_", "shpat_", "dop_v1_", "AKIA", "AIza", "ya29.", "sk-", "key-"}

// minRandom is how many letters of a placeholder are random at least, so that none is
// met by chance or guessed, and a part of it is still told.
const minRandom = 32

func (p *Placeholder) check() error {
	if p == nil {
		return nil
	}
	if p.Env == "" || strings.ContainsFunc(p.Env, func(r rune) bool {
		return r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) || p.Env[0] >= '0' && p.Env[0] <= '9' {
		return fmt.Errorf("%q is not the name of a variable for its placeholder", p.Env)
	}
	if p.Shape == "" {
		return nil
	}
	before, after, n, err := p.shape()
	if err != nil {
		return err
	}
	_, err = NewSecret([]byte(before + strings.Repeat("x", n) + after))
	return err
}

func (p *Placeholder) shape() (before, after string, n int, err error) {
	before, rest, open := strings.Cut(p.Shape, "{")
	count, after, closed := strings.Cut(rest, "}")
	n, bad := strconv.Atoi(count)
	if !open || !closed || bad != nil || n < minRandom || n > 512 || strings.ContainsAny(after, "{}") {
		return "", "", 0, fmt.Errorf("%q is not a shape: it is text with one {N} in it, for N random letters and digits, %d to 512", p.Shape, minRandom)
	}
	return before, after, n, nil
}

// shaped is the placeholder as its shape is, where v says that of the real thing if
// nothing else does.
func (p *Placeholder) shaped(v Value) Placeholder {
	if p.Shape != "" {
		return *p
	}
	out := Placeholder{p.Env, "{40}"}
	v.Secret.use(func(s []byte) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(string(s), prefix) {
				out.Shape = fmt.Sprintf("%s{%d}", prefix, min(max(len(s)-len(prefix), minRandom), 512))
				return
			}
		}
	})
	return out
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// of makes the placeholder of one sandbox for one credential.
func (p *Placeholder) of(seed []byte, sandbox, name string) string {
	before, after, n, err := p.shape()
	if err != nil {
		return ""
	}
	m := hmac.New(sha256.New, seed)
	m.Write(appendPart(appendPart(nil, sandbox), name))
	key := m.Sum(nil)
	b := make([]byte, 0, n)
	for i := uint64(0); len(b) < n; i++ {
		m := hmac.New(sha256.New, key)
		_ = binary.Write(m, binary.BigEndian, i)
		for _, c := range m.Sum(nil) {
			if int(c) < 4*len(letters) && len(b) < n { // each letter as often as another
				b = append(b, letters[int(c)%len(letters)])
			}
		}
	}
	return before + string(b) + after
}

// Seed decides which placeholders there are: as long as it is the same, and the
// credentials are called the same, so are they. It is called before the store is
// used; without it they are of this store alone.
func (s *Store) Seed(b []byte) { s.seed = b }

func newSeed() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return b
}

// Placeholders returns what a sandbox is given, by variable.
func (s *Store) Placeholders(t Target) map[string]string {
	out := map[string]string{}
	for i := range s.bindings {
		if b := &s.bindings[i]; b.Placeholder != nil && b.of(t) {
			out[b.Placeholder.Env] = s.placeholder(b, t.Sandbox)
		}
	}
	return out
}

func (s *Store) placeholder(b *Binding, sandbox string) string {
	p := s.shapes[b.Name]
	return p.of(s.seed, sandbox, b.Name)
}
