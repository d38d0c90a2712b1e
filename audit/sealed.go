package audit

import "fmt"

// sealed is what a log says of its own signatures, and holds itself to. The zero
// sealed is that of a log without records.
type sealed struct {
	origin string
	first  string // key, that whoever reads the log can know from elsewhere
	key    string // that signs now
	epoch  int
	tree   tree
	begun  uint64 // records before the first that is signed for
	size   uint64 // records that the last checkpoint in the log is of
	notes  []string
	keep   bool // every note by which a key signed the next
	keys   []string
	starts []uint64 // of the epochs of keys: records before each
}

// see takes the next line in, and returns what is wrong with it.
func (s *sealed) see(h header, line []byte) (why string) {
	switch h.Name {
	case AuditOpen:
		if s.tree.size == 0 && h.Key != "" {
			s.begin(h)
		}
	case AuditEpoch:
		if s.key == "" { // by a version that did not sign
			s.begin(h)
			break
		}
		c, why := s.checked(h.Note)
		switch {
		case why != "":
			return why
		case c.Next == "" || c.Next != h.Key:
			return "it names another key than the one before it signed"
		}
		if s.keep {
			s.notes = append(s.notes, h.Note)
		}
		s.epoch++
		s.turn(h.Key)
	case AuditCheckpoint:
		c, why := s.checked(h.Note)
		if why != "" {
			return why
		}
		if c.Next != "" {
			return "the signature is one of another record"
		}
	}
	s.tree.add(leaf(line))
	return ""
}

func (s *sealed) begin(h header) {
	s.origin, s.first, s.begun = h.Origin, h.Key, s.tree.size
	s.turn(h.Key)
}

func (s *sealed) turn(key string) {
	s.key = key
	s.keys, s.starts = append(s.keys, key), append(s.starts, s.tree.size)
}

// checked holds the lines so far to what the key of this epoch signed.
func (s *sealed) checked(text string) (Checkpoint, string) {
	if s.key == "" {
		return Checkpoint{}, "it is signed, and nobody says by whom"
	}
	c, _, err := signed(text, s.key)
	switch {
	case err != nil:
		return c, "the key of this epoch did not sign it"
	case c.Size != s.tree.size:
		return c, fmt.Sprintf("what is signed are %d records, and there are %d before it", c.Size, s.tree.size)
	case c.Root != s.tree.root():
		return c, "what is signed are other records than those before it"
	}
	s.size = c.Size
	return c, ""
}

// expected is what a checkpoint outside of the records says.
type expected struct {
	Checkpoint
	text  string // as it was signed; "" when it is trusted for where it was kept
	where string
}

func (w *walk) expect(x expected) {
	if w.want == nil {
		w.want = map[uint64][]expected{}
	}
	w.want[x.Size] = append(w.want[x.Size], x)
}

// expectKept expects what the checkpoints beside the records say.
func (w *walk) expectKept(dir string) error {
	texts, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for i, t := range texts {
		c, err := ParseAnchor([]byte(t))
		if err != nil {
			return &BreakError{checkpointFile, i + 1, err.Error()}
		}
		w.expect(expected{c, t, fmt.Sprintf("%s:%d", checkpointFile, i+1)})
	}
	return nil
}

// short returns what is missing at the end, or is signed by no key of its time.
func (w *walk) short() error {
	for _, xs := range w.want {
		for _, x := range xs {
			switch {
			case x.Size > w.sealed.tree.size:
				return &BreakError{x.where, 0, fmt.Sprintf("it is of %d records, and the log has %d: its end is missing", x.Size, w.sealed.tree.size)}
			case x.Origin != w.sealed.origin:
				return &BreakError{x.where, 0, "it is of another log"}
			case x.text != "" && !w.sealed.signedThen(x):
				return &BreakError{x.where, 0, "the key of its time did not sign it"}
			}
		}
	}
	return nil
}

// signedThen reports whether the key that signed when the log had so many records
// signed this. The one after it may not: it does not vouch for what was before it.
func (s *sealed) signedThen(x expected) bool {
	for i, k := range s.keys {
		if s.starts[i] < x.Size && (i+1 == len(s.keys) || x.Size <= s.starts[i+1]) {
			_, _, err := signed(x.text, k)
			return err == nil
		}
	}
	return false
}
