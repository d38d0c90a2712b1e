package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// ReadOptions choose what of a log is read. The zero ReadOptions are all of it.
type ReadOptions struct {
	Since, Until time.Time // by the time of the record; until is not in it
	Only         []Name    // of these events; none is all
	// Unverified reads on where the log stops being what was written.
	Unverified bool
	// Progress is told, now and then, how much of the log's bytes was gone over.
	Progress func(done, total int64)
}

// progressEvery is after how many records somebody is told.
const progressEvery = 4096

// Read calls show for each record of a log, in order, in constant memory. The log is
// a directory, or one file of its lines. It is held to its chain as far as it is
// there: it may begin anywhere. Where it does not hold, the error is a *BreakError,
// and what was shown before came before that. What show is given is its own until it
// returns.
func Read(ctx context.Context, path string, o ReadOptions, show func(Entry) error) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	r := &reading{ctx: ctx, o: o, show: show}
	if !st.IsDir() {
		r.total = st.Size()
		return r.segment(filepath.Dir(path), filepath.Base(path), -1, true)
	}
	names, err := segments(path)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("%s: there is no audit log in this directory", path)
	}
	ends := make([]int64, len(names))
	first := 0
	for i, name := range names {
		h, err := firstHeader(filepath.Join(path, name))
		ends[i] = -1
		if i > 0 && err == nil && h.Cut != "" && h.Before == names[i-1] {
			if end, err := strconv.ParseInt(h.Cut, 10, 64); err == nil && end >= 0 {
				ends[i-1] = end
			}
		}
		if at, terr := time.Parse(time.RFC3339Nano, h.Time); err == nil && terr == nil && !o.Since.IsZero() && at.Before(o.Since) {
			first = i
		}
	}
	for i, name := range names[first:] {
		if st, err := os.Stat(filepath.Join(path, name)); err == nil {
			r.total += until(st.Size(), ends[first+i])
		}
	}
	for i, name := range names[first:] {
		if err := r.segment(path, name, ends[first+i], first+i+1 == len(names)); err != nil {
			return err
		}
	}
	return nil
}

func until(size, end int64) int64 {
	if end >= 0 && end < size {
		return end
	}
	return size
}

// A reading is where in a log it is.
type reading struct {
	ctx         context.Context
	o           ReadOptions
	show        func(Entry) error
	seq         uint64 // of the record before; 0 before the first
	prev        string
	done, total int64
	records     int
}

// segment reads one file up to end, or to its own when that is negative.
func (r *reading) segment(dir, name string, end int64, last bool) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	var from io.Reader = f
	if end >= 0 {
		from = io.LimitReader(f, end)
	}
	b := bufio.NewReaderSize(from, 256<<10)
	for n := 1; ; n++ {
		line, err := readLine(b)
		r.done += int64(len(line))
		switch {
		case errors.Is(err, io.EOF):
			if len(line) > 0 && !last && !r.o.Unverified {
				return &BreakError{name, n, "the line is cut, and this is not the last segment"}
			}
			return r.tell(true)
		case errors.Is(err, errLong) && r.o.Unverified:
			continue
		case errors.Is(err, errLong):
			return &BreakError{name, n, err.Error()}
		case err != nil:
			return err
		}
		if err := r.line(name, n, line); err != nil {
			return err
		}
		if err := r.tell(false); err != nil {
			return err
		}
	}
}

// tell ends the reading when nobody waits for it any more.
func (r *reading) tell(always bool) error {
	if r.records++; r.records%progressEvery != 0 && !always {
		return nil
	}
	if r.o.Progress != nil {
		r.o.Progress(r.done, r.total)
	}
	return r.ctx.Err()
}

// line holds a record to the one before it, and shows it.
func (r *reading) line(name string, n int, line []byte) error {
	why, e, ok := "", Entry{}, true
	wanted := len(r.o.Only) == 0 || slices.Contains(r.o.Only, Name(member(line, `"event.name":"`)))
	if wanted {
		e, ok = parsed(bytes.TrimSuffix(line, []byte("\n")))
	}
	// What is ours stands first, before all that others can have put there.
	version, prev := member(line, `{"v":"`), member(line, `"log.prev":"`)
	seq := number(line, `"event.sequence":`)
	switch {
	case !ok || !bytes.HasPrefix(line, []byte(`{"v":"`)) || !bytes.HasSuffix(line, []byte("}\n")) || seq == 0:
		why, ok = "this is not a record", false
	case version != Version:
		why, ok = fmt.Sprintf("the record's version is %q, known is %q", version, Version), false
	case r.seq > 0 && seq != r.seq+1:
		why = fmt.Sprintf("record %d follows record %d", seq, r.seq)
	case r.seq > 0 && prev != r.prev:
		why = "the record does not follow from the one before it: one of both was changed"
	}
	if why != "" && !r.o.Unverified {
		return &BreakError{name, n, why}
	}
	sum := sha256.Sum256(line)
	r.seq, r.prev = seq, hex.EncodeToString(sum[:])
	if !ok {
		r.seq = 0
	}
	if !ok || !wanted {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, e.Str("@timestamp"))
	if !r.o.Since.IsZero() && (err != nil || at.Before(r.o.Since)) || !r.o.Until.IsZero() && (err != nil || !at.Before(r.o.Until)) {
		return nil
	}
	return r.show(e)
}

// number is the one behind a key, which stands once at the beginning of a record; 0 is
// none.
func number(line []byte, key string) uint64 {
	_, rest, _ := bytes.Cut(line, []byte(key))
	if end := bytes.IndexByte(rest, ','); end > 0 {
		n, _ := strconv.ParseUint(string(rest[:end]), 10, 64)
		return n
	}
	return 0
}

// Texts returns a field that is a list of texts.
func (e Entry) Texts(k string) (out []string) {
	list, _ := e.Fields[k].([]any)
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
