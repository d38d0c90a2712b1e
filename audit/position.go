package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A Position is a place behind a record. The zero Position is before the first.
type Position struct {
	Sequence uint64 `json:"sequence"` // of the record
	Segment  string `json:"segment"`
	Offset   int64  `json:"offset"` // of the byte behind its line
}

// advance says that all that was written is durable.
func (l *Log) advance() {
	l.moving.Lock()
	defer l.moving.Unlock()
	l.at = Position{l.seq, l.seg.name, l.seg.synced}
	close(l.moved)
	l.moved = make(chan struct{})
}

// Durable returns the place behind the last durable record, and a channel that is
// closed when there are more. What stands behind it may be taken back.
func (l *Log) Durable() (Position, <-chan struct{}) {
	l.moving.Lock()
	defer l.moving.Unlock()
	return l.at, l.moved
}

// A Reader reads the durable records of a log in order. It is for one goroutine.
type Reader struct {
	dir string
	log *Log // whose end is the end; nil reads all that there is
	at  Position
	f   *os.File
	r   *bufio.Reader
	end int64 // of the segment; -1 when it is not known
}

// A GapError says that records are not there any more. Reading goes on behind them.
type GapError struct{ From, To uint64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("records %d to %d are not in the log any more", e.From, e.To)
}

// Reader reads what stands behind a position, up to what is durable when it is asked.
func (l *Log) Reader(from Position) *Reader { return &Reader{dir: l.dir, log: l, at: from, end: -1} }

// ReadFrom reads what stands behind a position in a log that nobody here writes.
func ReadFrom(dir string, from Position) *Reader { return &Reader{dir: dir, at: from, end: -1} }

// Position is that behind the last record that was read.
func (r *Reader) Position() Position { return r.at }

// Close gives its file up.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f, r.r = nil, nil
	return err
}

// Next returns the next record without its end, which stays as it is until the
// call after, and io.EOF when there is none now. After a *GapError it goes on.
func (r *Reader) Next() ([]byte, error) {
	var limit Position
	if r.log != nil {
		if limit, _ = r.log.Durable(); limit.Sequence <= r.at.Sequence {
			return nil, io.EOF
		}
	}
	for {
		if r.f == nil {
			if err := r.open(); err != nil {
				return nil, err
			}
		}
		end, err := r.bound(limit)
		if err != nil {
			return nil, err
		}
		if r.at.Offset < end {
			line, err := readLine(r.r)
			switch {
			case errors.Is(err, io.EOF): // cut, or being written
				_ = r.Close()
				return nil, io.EOF
			case err != nil:
				return nil, fmt.Errorf("%s behind byte %d: %w", r.at.Segment, r.at.Offset, err)
			}
			return r.took(line)
		}
		next, err := r.after()
		if err != nil {
			return nil, err
		}
		if next == "" {
			return nil, io.EOF
		}
		_ = r.Close()
		r.at.Segment, r.at.Offset = next, 0
	}
}

// took is the record of a line, which follows the last.
func (r *Reader) took(line []byte) ([]byte, error) {
	var h header
	if json.Unmarshal(line, &h) != nil || h.Seq == nil {
		return nil, fmt.Errorf("%s behind byte %d: this is not a record", r.at.Segment, r.at.Offset)
	}
	before := r.at.Sequence
	if *h.Seq <= before {
		return nil, fmt.Errorf("%s behind byte %d: record %d follows record %d", r.at.Segment, r.at.Offset, *h.Seq, before)
	}
	if *h.Seq > before+1 && before > 0 {
		r.at.Sequence = *h.Seq - 1
		_ = r.Close() // the line is read again
		return nil, &GapError{before + 1, *h.Seq - 1}
	}
	r.at.Sequence, r.at.Offset = *h.Seq, r.at.Offset+int64(len(line))
	return line[:len(line)-1], nil
}

// open opens the segment of the position, or the first behind it.
func (r *Reader) open() error {
	if r.at.Segment != "" {
		f, err := os.Open(filepath.Join(r.dir, r.at.Segment))
		if err == nil {
			if _, err = f.Seek(r.at.Offset, io.SeekStart); err != nil {
				_ = f.Close()
				return err
			}
			r.f, r.r, r.end = f, bufio.NewReaderSize(f, 64<<10), -1
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	next, err := r.after()
	if err != nil {
		return err
	}
	if next == "" {
		return io.EOF
	}
	r.at.Segment, r.at.Offset = next, 0
	return r.open()
}

// bound is up to where the open segment counts.
func (r *Reader) bound(limit Position) (int64, error) {
	if r.log != nil && limit.Segment == r.at.Segment {
		return limit.Offset, nil
	}
	if r.end >= 0 {
		return r.end, nil
	}
	next, err := r.after()
	if err != nil {
		return 0, err
	}
	st, err := r.f.Stat()
	if err != nil {
		return 0, err
	}
	if next == "" { // it grows
		return st.Size(), nil
	}
	r.end = st.Size()
	if h, err := firstHeader(filepath.Join(r.dir, next)); err == nil && h.Cut != "" && h.Before == r.at.Segment {
		if n, err := strconv.ParseInt(h.Cut, 10, 64); err == nil && n >= 0 && n <= r.end {
			r.end = n
		}
	}
	return r.end, nil
}

// after is the segment behind that of the position; "" when there is none.
func (r *Reader) after() (string, error) {
	names, err := segments(r.dir)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(names, func(n string) bool { return n > r.at.Segment })
	if i < 0 {
		return "", nil
	}
	return names[i], nil
}
