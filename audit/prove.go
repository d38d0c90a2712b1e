package audit

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A Proof shows that a record is in a log, to whoever knows the first key that
// signed it, and has nothing else of it.
type Proof struct {
	Record string      `json:"record"` // the line, without its end
	Index  uint64      `json:"index"`  // of the record, from 0
	Path   []tlog.Hash `json:"path"`   // from the record to the root (RFC 6962, 2.1.1)
	// Checkpoint is signed by the last key that Keys lead to.
	Checkpoint string `json:"checkpoint"`
	// Keys are notes in which one key signs the next.
	Keys []string `json:"keys,omitempty"`
}

// ErrUnsigned means that there is no checkpoint behind a record yet.
var ErrUnsigned = errors.New("the record is in the log, and no checkpoint stands behind it yet: it is signed within some seconds, or when the log is closed")

// ErrNoRecord means that a log has no record of an id.
var ErrNoRecord = errors.New("there is no such record in this log")

// Prove makes the proof of the record with an id, in constant memory.
func Prove(dir, id string) (*Proof, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	var p Proof
	found := false
	var at string // the first checkpoint behind it
	var c Checkpoint
	var w *walk
	w = &walk{sealed: sealed{keep: true}, each: func(h header, line []byte) {
		switch {
		case h.ID == id && !found:
			found, p.Index, p.Record = true, *h.Seq-1, strings.TrimSuffix(string(line), "\n")
		case found && at == "" && (h.Name == AuditCheckpoint || h.Name == AuditEpoch) && h.Note != "":
			if x, err := ParseAnchor([]byte(h.Note)); err == nil && x.Size > p.Index {
				at, c = h.Note, x
				p.Keys = append(p.Keys, w.sealed.notes...)
				if h.Name == AuditEpoch { // the note that stands last is the checkpoint
					p.Keys = p.Keys[:len(p.Keys)-1]
				}
			}
		}
	}}
	if err := w.expectKept(dir); err != nil {
		return nil, err
	}
	err = walkLog(dir, names, w)
	if err == nil {
		err = w.short()
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("the log is not what was written: %w", err)
	case !found:
		return nil, ErrNoRecord
	}
	if at == "" { // the log may have ended with one that is no record
		for _, xs := range w.want {
			for _, x := range xs {
				if x.Size > p.Index && (at == "" || x.Size < c.Size) {
					at, c = x.text, x.Checkpoint
					p.Keys = w.sealed.notes
				}
			}
		}
	}
	if at == "" {
		return nil, ErrUnsigned
	}
	p.Checkpoint = at
	if p.Path, err = pathTo(dir, names, p.Index, c.Size); err != nil {
		return nil, err
	}
	return &p, nil
}

// pathTo reads a log again for the roots that lead from a leaf to the root of its
// first n records.
func pathTo(dir string, names []string, leafAt, n uint64) ([]tlog.Hash, error) {
	spans := beside(leafAt, n)
	trees := make([]tree, len(spans))
	err := walkLog(dir, names, &walk{each: func(h header, line []byte) {
		for i, s := range spans {
			if at := *h.Seq - 1; at >= s.from && at < s.to {
				trees[i].add(leaf(line))
			}
		}
	}})
	if err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(trees))
	for i := range trees {
		out[i] = trees[i].root()
	}
	return out, nil
}

// Check returns nil when the record is in the log that this key began to sign.
func (p *Proof) Check(key string) error {
	key = strings.TrimSpace(key)
	for i, text := range p.Keys {
		c, _, err := signed(text, key)
		if err != nil || c.Next == "" {
			return fmt.Errorf("key %d is not signed by the one before it", i+1)
		}
		key = c.Next
	}
	c, _, err := signed(p.Checkpoint, key)
	if err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	if p.Index >= c.Size {
		return errors.New("the checkpoint is older than the record")
	}
	if err := tlog.CheckRecord(p.Path, int64(c.Size), c.Root, int64(p.Index), leaf([]byte(p.Record+"\n"))); err != nil {
		return errors.New("the record is not among those that were signed")
	}
	return nil
}

// LastCheckpoint returns what was signed last of a log, to be kept elsewhere, and
// the first key that signed it.
func LastCheckpoint(dir string) (text, key string, err error) {
	texts, err := checkpoints(dir)
	if err != nil {
		return "", "", err
	}
	names, err := segments(dir)
	if err != nil {
		return "", "", err
	}
	if len(texts) == 0 || len(names) == 0 {
		return "", "", errors.New("nothing of this log is signed yet: that happens within some seconds, or when it is closed")
	}
	h, err := firstHeader(filepath.Join(dir, names[0]))
	return texts[len(texts)-1], h.Key, err
}
