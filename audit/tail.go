package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// TailOptions choose records. The zero TailOptions choose all that there are now.
type TailOptions struct {
	Follow   bool
	Sandbox  string // name or id
	Host     string
	Decision string // allow, deny, error, respond, or denied
	Code     string
	Text     string // anywhere in the record
	// Damaged is told of a line that is no record, with its segment; nil is not.
	Damaged func(segment string)
}

// An Entry is one record as it is kept, and its fields.
type Entry struct {
	Line   []byte // without its end
	Fields map[string]any
}

// Str returns a field that is text, or "".
func (e Entry) Str(k string) string {
	s, _ := e.Fields[k].(string)
	return s
}

// Int returns a field that is a number, or 0.
func (e Entry) Int(k string) int64 {
	n, ok := e.Fields[k].(json.Number)
	if !ok {
		return 0
	}
	i, _ := n.Int64()
	return i
}

const pollEvery = 150 * time.Millisecond

// Tail calls show for each record that o chooses, in order, until there are no
// more, or with Follow until ctx is done.
func Tail(ctx context.Context, dir string, o TailOptions, show func(Entry) error) error {
	var done string
	for {
		names, err := segments(dir)
		if err != nil {
			return err
		}
		if len(names) == 0 && !o.Follow {
			return fmt.Errorf("%s: there is no audit log in this directory", dir)
		}
		i := slices.IndexFunc(names, func(n string) bool { return n > done })
		if i < 0 {
			if !o.Follow {
				return nil
			}
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		}
		if err := tailSegment(ctx, dir, names[i], o, show); err != nil {
			return err
		}
		done = names[i]
	}
}

// tailSegment returns when a segment has ended: a later one is there, or, without
// Follow, nothing more is in it.
func tailSegment(ctx context.Context, dir, name string, o TailOptions, show func(Entry) error) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 256<<10)
	var part []byte
	for ended := false; ; {
		line, err := r.ReadBytes('\n')
		part = append(part, line...)
		switch {
		case err == nil:
			if err := entry(name, bytes.TrimSuffix(part, []byte("\n")), o, show); err != nil {
				return err
			}
			part = nil
			continue
		case !errors.Is(err, io.EOF):
			return err
		case ended || !o.Follow:
			return nil
		}
		names, err := segments(dir)
		if err != nil {
			return err
		}
		if ended = len(names) > 0 && names[len(names)-1] > name; ended {
			continue // once more: the last lines may have come in between
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(pollEvery):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func entry(segment string, line []byte, o TailOptions, show func(Entry) error) error {
	e, ok := parsed(line)
	if !ok {
		if o.Damaged != nil {
			o.Damaged(segment)
		}
		return nil // verify says what is wrong with it
	}
	if !o.chooses(e) {
		return nil
	}
	return show(e)
}

// chooses reports whether a record is one of those that are asked for.
func (o TailOptions) chooses(e Entry) bool {
	switch {
	case o.Sandbox != "" && e.Str("sandbox.name") != o.Sandbox && e.Str("sandbox.id") != o.Sandbox,
		o.Host != "" && e.Str("url.domain") != o.Host && e.Str("dns.question.name") != o.Host && e.Str("dns.question.name") != o.Host+".",
		o.Decision == Denied && e.Str("policy.decision") != "deny" && e.Str("policy.decision") != "error" && !unanswered(e),
		o.Decision != "" && o.Decision != Denied && e.Str("policy.decision") != o.Decision,
		o.Code != "" && e.Str("policy.code") != o.Code,
		o.Text != "" && !bytes.Contains(e.Line, []byte(o.Text)):
		return false
	}
	return true
}

// Denied chooses all that did not pass: deny and error.
const Denied = "denied"

// unanswered reports whether a name was asked for here of which nothing was told. What
// name servers have said themselves, when they were asked, has a decision.
func unanswered(e Entry) bool {
	_, some := e.Fields["dns.answers"]
	return Name(e.Str("event.name")) == DNSQuery && e.Str("event.of") == "" && !some
}
