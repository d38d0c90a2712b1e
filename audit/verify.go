package audit

import (
	"fmt"
	"strings"
)

// A Report is what Verify found.
type Report struct {
	Dir      string
	Segments int
	Records  int
	Last     uint64
	From, To string // times of the first and last record
	Head     string // hash of the last record: keep it elsewhere to see later that the log only grew
	// Broken is where the log stops being what was written; nil when it holds.
	Broken error
	Closed bool  // the log ends with its closing record
	Torn   int64 // bytes behind the last record
	// Unacknowledged bytes stand in segments whose disk failed; nothing depended on them.
	Unacknowledged int64
	Pending        int // decisions that let something happen and have no outcome
	Lost           int // of those, the ones that were marked so
}

// OK reports whether nothing was changed.
func (r *Report) OK() bool { return r.Broken == nil && r.Records > 0 }

// Verify reads a log and holds it to its chain. Its error means that it could
// not be read; a log that does not hold is no error.
func Verify(dir string) (*Report, error) {
	names, err := segments(dir)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: there is no audit log in this directory", dir)
	}
	r := &Report{Dir: dir, Segments: len(names)}
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
	r.Broken = walkLog(dir, names, w)
	r.Records, r.Last, r.Head = w.records, w.seq, w.prev
	r.Closed, r.Torn, r.Unacknowledged, r.Pending = w.last.Name == AuditClosed, w.torn, w.unacked, len(o)
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
	if r.Head != "" {
		fmt.Fprintf(&b, "  head          %s\n", r.Head)
	}
	b.WriteString("  The chain has no key: it shows an edit before the last record, not a log rewritten\n  whole or cut at its end. Compare the head with one that was kept elsewhere.")
	return b.String()
}
