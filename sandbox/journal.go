package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"sallyport/dest"
)

// OpenNames returns a table that outlives its process: each name is in the file
// before its address is answered, in the order in which they got theirs. It does
// not wait for the disk, since no namespace that knows the addresses outlives the
// machine. The caller closes it.
func OpenNames(path string, limit int) (*Names, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	n := NewNames(limit)
	if err := n.load(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n.journal = f
	return n, nil
}

// load reads the names. What stands behind the last end of a line was never
// answered, and is taken away.
func (n *Names) load(f *os.File) error {
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	if whole < len(b) {
		if err := f.Truncate(int64(whole)); err != nil {
			return err
		}
	}
	for i, line := range bytes.Split(b[:max(whole-1, 0)], []byte{'\n'}) {
		if whole == 0 {
			return nil
		}
		h, err := dest.ParseHost(string(line))
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		if _, err := n.number(h); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		if len(n.hosts) != i+1 {
			return fmt.Errorf("line %d: %s is there twice", i+1, h)
		}
	}
	return nil
}

// write puts a name behind the others. One that is there in part is taken away:
// the file is what an address means after a restart.
func (n *Names) write(h dest.Host) error {
	if n.journal == nil {
		return nil
	}
	at, err := n.journal.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := n.journal.WriteString(h.String() + "\n"); err != nil {
		if terr := n.journal.Truncate(at); terr != nil { // nothing is written behind half a name
			return errors.Join(err, terr, n.journal.Close())
		}
		return err
	}
	return nil
}

// Close closes the file of a table that has one; no name is added from then on.
func (n *Names) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.journal == nil {
		return nil
	}
	return n.journal.Close()
}
