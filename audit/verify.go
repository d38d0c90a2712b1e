package audit

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A Report is what Verify found.
type Report struct {
	Dir      string
	Segments int
	Records  int
	Last     uint64
	From, To string // times of the first and last record
	Head     string // hash of the last record
	// Broken is where the log stops being what was written; nil when it holds.
	Broken error
	Closed bool  // the log ends with its closing record
	Torn   int64 // bytes behind the last record
	// Unacknowledged bytes stand in segments whose disk failed; nothing depended on them.
	Unacknowledged int64
	Pending        int // decisions that let something happen and have no outcome
	Lost           int // of those, the ones that were marked so

	Origin   string
	Key      string // the first that signed; empty when nothing is signed
	KeyKnown bool   // it was asked for, and is that
	Epochs   int    // keys that signed one after the other
	// Records up to which the log is what was kept elsewhere, and what its own keys signed.
	Anchored, Signed uint64
	Strict           bool // what is neither of both is not taken
}

// OK reports whether nothing was changed, as far as was asked.
func (r *Report) OK() bool { return r.Broken == nil && r.Records > 0 }

// Expect is what is known of a log from elsewhere.
type Expect struct {
	// Key is the first that signed, in the form of C2SP signed-note.
	Key string
	// Anchors are checkpoints that were kept elsewhere.
	Anchors []Checkpoint
}

// Verify reads a log and holds it to its chain, to what its keys signed, and to
// what is expected of it; then every record has to be signed. Its error means
// that it could not be read; a log that does not hold is no error.
func Verify(dir string, x Expect) (*Report, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: there is no audit log in this directory", dir)
	}
	r := &Report{Dir: dir, Segments: len(names), Strict: x.Key != "" || len(x.Anchors) > 0}
	o := openDecisions{}
	w := &walk{each: func(h header, line []byte) {
		if r.From == "" {
			r.From = h.Time
		}
		r.To = h.Time
		if h.Name == RequestLost {
			r.Lost++
		}
		o.see(h, line)
	}}
	for i, a := range x.Anchors {
		w.expect(expected{a, "", fmt.Sprintf("anchor %d", i+1)})
	}
	r.Broken = w.expectKept(dir)
	if h, err := firstHeader(filepath.Join(dir, names[0])); err == nil && h.Origin != "" && r.Broken == nil {
		for i, a := range x.Anchors {
			if a.Origin != h.Origin {
				r.Broken = &BreakError{names[0], 1, fmt.Sprintf("anchor %d is of another log, %s; this is %s", i+1, a.Origin, h.Origin)}
			}
		}
	}
	if r.Broken == nil {
		r.Broken = walkLog(dir, names, w)
	}
	if r.Broken == nil {
		r.Broken = w.short()
	}
	s := &w.sealed
	r.Records, r.Last, r.Head = w.records, w.seq, w.prev
	r.Closed, r.Torn, r.Unacknowledged, r.Pending = w.last.Name == AuditClosed, w.torn, w.unacked, len(o)
	r.Origin, r.Key, r.Epochs, r.Signed = s.origin, s.first, len(s.keys), s.size
	for size, xs := range w.want {
		for _, e := range xs {
			if e.text == "" && size <= s.tree.size {
				r.Anchored = max(r.Anchored, size)
			} else if size <= s.tree.size {
				r.Signed = max(r.Signed, size)
			}
		}
	}
	if x.Key != "" && r.Broken == nil {
		if r.KeyKnown = strings.TrimSpace(x.Key) == s.first; !r.KeyKnown {
			r.Broken = &BreakError{names[0], 1, "another key signs this log than the one that was given"}
		}
	}
	if sure := max(r.Anchored, r.Signed); r.Strict && r.Broken == nil && (sure < r.Last || r.Torn > 0) {
		r.Broken = &BreakError{names[len(names)-1], 0, fmt.Sprintf("nobody signed what stands behind record %d: it may have been changed", sure)}
	}
	return r, nil
}

// String is for people.
func (r *Report) String() string {
	var b strings.Builder
	verdict := "intact: nothing was changed, inserted or taken out"
	if !r.OK() {
		verdict = "BROKEN"
		if r.Broken != nil {
			verdict += " at " + r.Broken.Error()
		} else {
			verdict += ": there is no record in it"
		}
	}
	fmt.Fprintf(&b, "%s\n  integrity     %s\n", r.Dir, verdict)
	switch {
	case r.Broken != nil:
		fmt.Fprintf(&b, "  completeness  not looked at: what stands behind the break counts for nothing\n")
	case r.Closed:
		fmt.Fprintf(&b, "  completeness  ends with its closing record\n")
	case r.Torn > 0:
		fmt.Fprintf(&b, "  completeness  open: %d bytes stand behind the last record; the next start keeps them apart\n", r.Torn)
	default:
		fmt.Fprintf(&b, "  completeness  open: it is being written, or its writer was killed\n")
	}
	fmt.Fprintf(&b, "  records       %d in %d segment", r.Records, r.Segments)
	if r.Segments != 1 {
		b.WriteByte('s')
	}
	if r.From != "" {
		fmt.Fprintf(&b, ", %s to %s", r.From, r.To)
	}
	if r.Broken != nil {
		b.WriteString(", up to the break")
	}
	b.WriteByte('\n')
	if r.Pending+r.Lost > 0 {
		fmt.Fprintf(&b, "  outcomes      %d decisions without an outcome, %d marked lost\n", r.Pending, r.Lost)
	}
	if r.Unacknowledged > 0 {
		fmt.Fprintf(&b, "  unacknowledged %d bytes in segments whose disk failed; nothing depended on them\n", r.Unacknowledged)
	}
	r.grades(&b)
	return strings.TrimSuffix(b.String(), "\n")
}

// grades says how sure which records are, and what nobody can know.
func (r *Report) grades(b *strings.Builder) {
	if r.Broken != nil {
		return
	}
	if r.Anchored > 0 {
		fmt.Fprintf(b, "  anchored      records 1 to %d are those that were kept elsewhere\n", r.Anchored)
	}
	sure := max(r.Anchored, r.Signed)
	if r.Signed > r.Anchored {
		fmt.Fprintf(b, "  signed        records %d to %d, by %d key", r.Anchored+1, r.Signed, r.Epochs)
		if r.Epochs != 1 {
			b.WriteString("s, each signed by the one before")
		}
		b.WriteByte('\n')
	}
	if r.Last > sure {
		fmt.Fprintf(b, "  chained       records %d to %d, which nobody signed yet\n", sure+1, r.Last)
	}
	switch {
	case r.Key == "":
	case r.KeyKnown:
		fmt.Fprintf(b, "  key           is the one that was given\n")
	default:
		fmt.Fprintf(b, "  key           %s\n", r.Key)
	}
	if r.Head != "" {
		fmt.Fprintf(b, "  head          %s\n", r.Head)
	}
	switch {
	case r.Anchored > 0 && r.Anchored == r.Last:
		b.WriteString("  Nothing stands behind the anchor: a record that was cut off after it would not show.")
	case r.Anchored > 0:
		fmt.Fprintf(b, "  What stands behind record %d could have been written by whoever had the key of its time.", r.Anchored)
	case r.KeyKnown:
		b.WriteString("  Whoever had the last key could have written what it signed, and cut the end off. Give an\n  anchor (sallyport audit checkpoint, kept elsewhere) to know that it is the same log.")
	default:
		b.WriteString("  Without its key or an anchor from elsewhere this shows that the log agrees with itself, not\n  that it is the one that was written: sallyport audit checkpoint prints what to keep.")
	}
}
