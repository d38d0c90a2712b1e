package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint says what a log was when it had a number of records: C2SP
// tlog-checkpoint, signed as C2SP signed-note. It can be kept anywhere, and shown
// to a log later: what does not lead to it is not that log.
type Checkpoint struct {
	Origin string // names the log
	Size   uint64
	Root   tlog.Hash // of the tree over its lines (RFC 6962)
	// Next is the key that signs from here on, when this is the last that the key
	// before it signed; else "".
	Next string
}

const nextKey = "next "

// text is what is signed.
func (c Checkpoint) text() string {
	s := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
	if c.Next != "" {
		s += nextKey + c.Next + "\n"
	}
	return s
}

var errCheckpoint = errors.New("this is no checkpoint")

// parseCheckpoint reads what was signed.
func parseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || len(lines) > 5 || lines[len(lines)-1] != "" {
		return c, errCheckpoint
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil || c.Origin == "" || strconv.FormatUint(c.Size, 10) != lines[1] {
		return c, errCheckpoint
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return c, errCheckpoint
	}
	c.Root = tlog.Hash(root)
	if len(lines) == 5 {
		next, ok := strings.CutPrefix(lines[3], nextKey)
		if !ok {
			return c, errCheckpoint
		}
		c.Next = next
	}
	return c, nil
}

// signed returns the checkpoint of a note that one of these keys signed, and which.
func signed(text string, keys ...string) (Checkpoint, int, error) {
	for i, k := range keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			continue
		}
		n, err := note.Open([]byte(text), note.VerifierList(v))
		if err != nil {
			continue
		}
		c, err := parseCheckpoint(n.Text)
		if err == nil && c.Origin != v.Name() {
			err = errCheckpoint
		}
		return c, i, err
	}
	return Checkpoint{}, -1, errors.New("no key of this log signed it")
}

// IsKey reports whether a text is a key that verifies, of C2SP signed-note.
func IsKey(text string) bool {
	_, err := note.NewVerifier(strings.TrimSpace(text))
	return err == nil
}

// maxCheckpoint is longer than a signed one with the signatures of witnesses.
const maxCheckpoint = 8 << 10

// ParseAnchor reads a checkpoint that was kept elsewhere, whoever signed it: it is
// trusted for where it was kept.
func ParseAnchor(b []byte) (Checkpoint, error) {
	if len(b) > maxCheckpoint {
		return Checkpoint{}, errCheckpoint
	}
	text, _, ok := strings.Cut(string(b), "\n\n")
	if !ok {
		return Checkpoint{}, errCheckpoint
	}
	return parseCheckpoint(text + "\n")
}

// String is the checkpoint in one line.
func (c Checkpoint) String() string { return fmt.Sprintf("%d records, root %s", c.Size, c.Root) }
