package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// recovered is what a log's past says to its next writer.
type recovered struct {
	seq      uint64
	prev     string
	last     string // segment
	torn     int64
	tornSum  string
	tornFile string
	sealed   sealed
	open     []string // decisions with an effect and without an outcome
}

// recoverLog reads a log and repairs its end. Only the last segment may end
// badly, and only behind its last complete line; what stands there is kept in a
// file of its own. Any other break is an error: it was no crash.
func recoverLog(dir string, sync func(*os.File) error) (*recovered, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	rec := &recovered{}
	if len(names) == 0 {
		return rec, nil
	}
	o := openDecisions{}
	w := &walk{each: o.see}
	err = w.expectKept(dir)
	if err == nil {
		err = walkLog(dir, names, w)
	}
	if err == nil {
		err = w.short()
	}
	if err != nil {
		return nil, fmt.Errorf("the log is not what was written: %w; start a new one in another directory", err)
	}
	rec.seq, rec.prev, rec.last, rec.open, rec.sealed = w.seq, w.prev, names[len(names)-1], o.ids(), w.sealed
	if w.torn > 0 {
		rec.torn = w.torn
		if err := cutTail(dir, rec, w.tail, sync); err != nil {
			return nil, err
		}
	}
	if w.tail == 0 { // the crash came before the segment's first record was durable
		if err := os.Remove(filepath.Join(dir, rec.last)); err != nil {
			return nil, err
		}
		rec.last = ""
		if len(names) > 1 {
			rec.last = names[len(names)-2]
		}
	}
	return rec, syncDir(dir)
}

// cutTail moves what stands behind the last complete line into a file.
func cutTail(dir string, rec *recovered, off int64, sync func(*os.File) error) error {
	f, err := os.OpenFile(filepath.Join(dir, rec.last), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	rec.tornFile = fmt.Sprintf("torn-%020d.bin", rec.seq+1)
	t, err := os.OpenFile(filepath.Join(dir, rec.tornFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer t.Close()
	sum := sha256.New()
	if rec.torn, err = io.Copy(io.MultiWriter(t, sum), io.NewSectionReader(f, off, 1<<62)); err != nil {
		return err
	}
	rec.tornSum = hex.EncodeToString(sum.Sum(nil))
	if err := t.Sync(); err != nil {
		return err
	}
	if err := f.Truncate(off); err != nil {
		return err
	}
	return sync(f)
}

// openDecisions are those that let something happen and have no outcome yet.
type openDecisions map[string]bool

func (o openDecisions) see(h header, _ []byte) {
	switch h.Name {
	case RequestDecision, TunnelDecision, DNSDecision:
		if h.Effect == "allow" || h.Effect == "respond" {
			o[h.ID] = true
		}
	case RequestComplete, TunnelClose, DNSQuery, RequestLost:
		delete(o, h.Of)
	}
}

func (o openDecisions) ids() []string {
	var out []string
	for id := range o {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
