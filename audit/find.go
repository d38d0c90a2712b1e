package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/google/uuid"
)

// A NotFoundError says that a record is not in what was searched.
type NotFoundError struct {
	ID           string
	Searched, Of int   // segments
	Why          error // the search ended early; nil when all of the log was searched
}

func (e *NotFoundError) Error() string {
	if e.Why != nil {
		return fmt.Sprintf("there is no record %s in what was searched, %d of the %d segments of the log: %v", e.ID, e.Searched, e.Of, e.Why)
	}
	return fmt.Sprintf("there is no record %s in the log", e.ID)
}

func (e *NotFoundError) Unwrap() error { return e.Why }

// Find returns the record with an id, which is a UUIDv7, and those that complete
// it as far as they stand in the same segment or the next. It begins where the
// time in the id says, and goes on from there until ctx ends. The error is a
// *NotFoundError when the log could be read.
func Find(ctx context.Context, dir, id string) (Story, error) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return Story{}, fmt.Errorf("%q is not the id of a record", id)
	}
	id = u.String()
	names, err := segments(dir)
	if err != nil {
		return Story{}, err
	}
	sec, nsec := u.Time().UnixTime()
	order := nearest(dir, names, time.Unix(sec, nsec))
	for n, i := range order {
		var s Story
		err := search(ctx, filepath.Join(dir, names[i]), id, &s)
		if err == nil && s.Decision.Line != nil && len(s.Then) == 0 && i+1 < len(names) {
			err = search(ctx, filepath.Join(dir, names[i+1]), id, &s)
		}
		switch {
		case s.Decision.Line != nil:
			return s, nil
		case ctx.Err() != nil:
			return Story{}, &NotFoundError{id, n, len(names), ctx.Err()}
		case err != nil && !errors.Is(err, os.ErrNotExist): // one may have been moved away meanwhile
			return Story{}, err
		}
	}
	return Story{}, &NotFoundError{ID: id, Searched: len(names), Of: len(names)}
}

// nearest are the segments in the order in which they are searched for what was
// recorded at a time.
func nearest(dir string, names []string, at time.Time) (out []int) {
	i := sort.Search(len(names), func(i int) bool {
		h, err := firstHeader(filepath.Join(dir, names[i]))
		if err != nil {
			return false
		}
		t, err := time.Parse(time.RFC3339Nano, h.Time)
		return err == nil && t.After(at)
	}) - 1
	for d := range len(names) + 1 {
		if i+d >= 0 && i+d < len(names) {
			out = append(out, i+d)
		}
		if d > 0 && i-d >= 0 && i-d < len(names) {
			out = append(out, i-d)
		}
	}
	return out
}

// search reads one segment for a record and what completes it.
func search(ctx context.Context, path, id string, into *Story) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 256<<10)
	self, of := []byte(`"event.id":"`+id+`"`), []byte(`"event.of":"`+id+`"`)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, err := readLine(r)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLong): // verify says what is wrong with it
			continue
		case err != nil:
			return err
		}
		head := line[:min(len(line), 512)]
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case bytes.Contains(head, self):
			if e, ok := parsed(bytes.Clone(line)); ok {
				into.Decision = e
			}
		case bytes.Contains(head, of) && len(into.Then) < maxThen:
			if e, ok := parsed(bytes.Clone(line)); ok {
				into.Then = append(into.Then, e)
			}
		}
	}
}
