package sidecar

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"sallyport/cmd/terms"
)

// Bounds of the tokens of one sandbox.
const (
	minToken  = 16 // bytes
	maxTokens = 8
)

// readTokens returns the digests of tokens: the value of a variable, or each line
// of a file, so that a new one can be good beside an old one for a while. Errors
// do not repeat what was read.
func readTokens(source string, rel func(string) string, watch func(string)) (out [][sha256.Size]byte, err error) {
	text, err := terms.ReadSecret(source, rel, watch)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if len(line) < minToken {
			return nil, fmt.Errorf("a token has at least %d characters: openssl rand -hex 32 makes a good one", minToken)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("a token has visible ASCII characters only, and no spaces")
		}
		out = append(out, sha256.Sum256([]byte(line)))
	}
	if len(out) == 0 || len(out) > maxTokens {
		return nil, fmt.Errorf("there are %d tokens; expected 1 to %d, one a line", len(out), maxTokens)
	}
	return out, nil
}
