package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Bounds of the tokens of one sandbox.
const (
	minToken  = 16 // bytes
	maxTokens = 8
	maxToken  = 64 << 10 // of a file
)

// readTokens returns the digests of tokens: the value of a variable, or each line
// of a file, so that a new one can be good beside an old one for a while. Errors
// do not repeat what was read.
func readTokens(source string, rel func(string) string, watch func(string)) (out [][sha256.Size]byte, err error) {
	text, err := readSecret(source, rel, watch)
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

// readSecret reads env:VARIABLE or file:PATH, of which a file is watched. Errors
// do not repeat what was read.
func readSecret(source string, rel func(string) string, watch func(string)) (string, error) {
	kind, arg, _ := strings.Cut(source, ":")
	switch {
	case kind == "env" && arg != "":
		v, ok := os.LookupEnv(arg)
		if !ok {
			return "", fmt.Errorf("there is no variable %s", arg)
		}
		return v, nil
	case kind == "file" && arg != "":
	default: // not repeated: it may be the secret itself
		return "", errors.New("expected env:VARIABLE or file:PATH; what stands here is not repeated, since it may be a secret")
	}
	path := rel(arg)
	watch(path)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe shall not hold us
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	case st.Mode().Perm()&0o002 != 0:
		return "", fmt.Errorf("everybody may write %s: chmod 600 it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err == nil && len(b) > maxToken {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxToken)
	}
	return string(b), err
}
