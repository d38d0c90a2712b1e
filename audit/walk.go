package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// A BreakError says where a log stops being what was written.
type BreakError struct {
	Segment string
	Line    int
	Why     string
}

func (e *BreakError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Segment, e.Line, e.Why) }

// header is what reading a record as a part of the chain needs of it.
type header struct {
	V       string  `json:"v"`
	ID      string  `json:"event.id"`
	Name    Name    `json:"event.name"`
	Seq     *uint64 `json:"event.sequence"`
	Prev    *string `json:"log.prev"`
	Of      string  `json:"event.of"`
	Effect  string  `json:"policy.decision"`
	Before  string  `json:"detail.before"`
	Cut     string  `json:"detail.abandoned_at"`
	Time    string  `json:"@timestamp"`
	Sandbox string  `json:"sandbox.id"`
	Origin  string  `json:"detail.origin"`
	Key     string  `json:"detail.key"`
	Note    string  `json:"detail.note"`
}

// A walk goes over a log's records in constant memory and holds them to the chain.
type walk struct {
	seq     uint64
	prev    string
	records int
	tail    int64 // where the last segment's complete lines end
	torn    int64 // bytes behind them
	unacked int64 // bytes of abandoned segments that count for nothing
	last    header
	sealed  sealed
	want    map[uint64][]expected // what the log was when it had so many records
	each    func(h header, line []byte)
}

// walkLog reads all segments. What it returns as an error is a break.
func walkLog(dir string, names []string, w *walk) error {
	for i, name := range names {
		end := int64(-1) // to the end of the file
		if i+1 < len(names) {
			h, err := firstHeader(filepath.Join(dir, names[i+1]))
			if err == nil && h.Cut != "" && h.Before == name {
				if end, err = strconv.ParseInt(h.Cut, 10, 64); err != nil || end < 0 {
					return &BreakError{names[i+1], 1, "it says nonsense about the segment before it"}
				}
			}
		}
		if err := w.segment(dir, name, end, i == 0, i+1 == len(names)); err != nil {
			return err
		}
	}
	return nil
}

func firstHeader(path string) (h header, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(io.LimitReader(f, 2*maxLine), 4096).ReadBytes('\n')
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(line, &h)
}

func (w *walk) segment(dir, name string, end int64, first, last bool) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	size := end
	if st, err := f.Stat(); err != nil {
		return err
	} else if end < 0 {
		size = st.Size()
	} else {
		if st.Size() < end {
			return &BreakError{name, 0, "it is shorter than what was acknowledged of it"}
		}
		w.unacked += st.Size() - end
	}
	r := bufio.NewReaderSize(io.LimitReader(f, size), 256<<10)
	var off int64
	for n := 1; ; n++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			if len(line) > 0 && !last {
				return &BreakError{name, n, "the line is cut, and this is not the last segment"}
			}
			if n == 1 && !last {
				return &BreakError{name, n, "the segment is empty"}
			}
			w.tail, w.torn = off, int64(len(line))
			if errors.Is(err, io.EOF) && len(line) >= 2*maxLine {
				w.torn = size - off
			}
			return nil
		}
		if err != nil {
			return &BreakError{name, n, err.Error()}
		}
		if err := w.line(name, n, line, n == 1, first && n == 1); err != nil {
			return err
		}
		off += int64(len(line))
	}
}

var errLong = errors.New("the line is longer than a record can be")

// readLine returns a line with its end; io.EOF and what there is without one.
func readLine(r *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := r.ReadSlice('\n')
		if out == nil && err == nil {
			return part, nil
		}
		if len(out) < 2*maxLine {
			out = append(out, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return out, err
		case len(out) > 2*maxLine:
			return out, errLong
		default:
			return out, nil
		}
	}
}

func (w *walk) line(name string, n int, line []byte, opens, begins bool) error {
	wrong := func(why string, a ...any) error { return &BreakError{name, n, fmt.Sprintf(why, a...)} }
	var h header
	if !bytes.HasPrefix(line, []byte(`{"v":"`)) || json.Unmarshal(line, &h) != nil || h.Seq == nil || h.Prev == nil {
		return wrong("this is not a record")
	}
	if h.V != Version {
		return wrong("the record's version is %q, known is %q", h.V, Version)
	}
	if opens && h.Name != AuditOpen {
		return wrong("the segment does not begin with %s", AuditOpen)
	}
	if begins && (*h.Seq != 1 || *h.Prev != "") {
		return wrong("the log does not begin with its first record: what stood before %d is missing", *h.Seq)
	}
	if *h.Seq != w.seq+1 {
		return wrong("record %d follows record %d", *h.Seq, w.seq)
	}
	if *h.Prev != w.prev {
		return wrong("the record does not follow from the one before it: one of both was changed")
	}
	sum := sha256.Sum256(line)
	if why := w.sealed.see(h, line); why != "" {
		return wrong("%s", why)
	}
	for _, x := range w.want[w.sealed.tree.size] {
		if x.Root != w.sealed.tree.root() {
			return wrong("up to here the log is not what %s says: a record was changed, and the chain with it", x.where)
		}
	}
	w.seq, w.prev, w.last = *h.Seq, hex.EncodeToString(sum[:]), h
	w.records++
	if w.each != nil {
		w.each(h, line)
	}
	return nil
}
