package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// signedLog is a log of some epochs and two starts, closed; and what whoever
// keeps an eye on it has: its first key, and the last checkpoint.
func signedLog(t *testing.T) (dir, key string, last Checkpoint) {
	t.Helper()
	dir = t.TempDir()
	for range 2 {
		l := open(t, dir, Options{SegmentBytes: 8 << 10, Reserve: -1})
		for i := range 25 {
			if _, err := l.Record(t.Context(), decision(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text, key, err := LastCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	if last, err = ParseAnchor([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return dir, key, last
}

// files are the records and checkpoints of a log.
type files map[string][]byte

func filesOf(t *testing.T, dir string) files {
	t.Helper()
	out := files{}
	names, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range append(names, checkpointFile) {
		if out[n], err = os.ReadFile(filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (f files) names() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(f)), func(n string) bool { return n == checkpointFile })
}

// lines are those of all segments.
func (f files) lines() (out [][]byte, at []string) {
	for _, n := range f.names() {
		for line := range bytes.Lines(f[n]) {
			out, at = append(out, line), append(at, n)
		}
	}
	return out, at
}

func (f files) with(lines [][]byte, at []string) files {
	out := files{checkpointFile: f[checkpointFile]}
	for _, n := range f.names() {
		out[n] = []byte{}
	}
	for i, line := range lines {
		out[at[i]] = append(out[at[i]], line...)
	}
	return out
}

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	old, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, o := range old {
		_ = os.Remove(o)
	}
	for n, b := range f {
		if b == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, n), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	seqField  = regexp.MustCompile(`"event\.sequence":\d+`)
	prevField = regexp.MustCompile(`"log\.prev":"[0-9a-f]*"`)
)

// rechain makes a chain that holds out of lines, as whoever has the files can.
// With a signer they sign again all that stands behind a line.
func rechain(lines [][]byte, from int, signer note.Signer, next string) [][]byte {
	out := make([][]byte, len(lines))
	prev := ""
	var s sealed
	for i, line := range lines {
		line = seqField.ReplaceAll(line, []byte(`"event.sequence":`+strconv.Itoa(i+1)))
		line = prevField.ReplaceAll(line, []byte(`"log.prev":"`+prev+`"`))
		var h header
		_ = json.Unmarshal(line, &h)
		if signer != nil && i >= from && h.Note != "" {
			c := Checkpoint{Origin: signer.Name(), Size: s.tree.size, Root: s.tree.root()}
			if h.Name == AuditEpoch {
				c.Next = next
				line = bytes.Replace(line, []byte(h.Key), []byte(next), 1)
			}
			text, _ := note.Sign(&note.Note{Text: c.text()}, signer)
			was, _ := json.Marshal(h.Note)
			is, _ := json.Marshal(string(text))
			line = bytes.Replace(line, was, is, 1)
		}
		sum := sha256.Sum256(line)
		prev = hex.EncodeToString(sum[:])
		s.tree.add(leaf(line))
		out[i] = line
	}
	return out
}

// hostile 157: of whatever is done to a log, nothing is taken by a verifier that
// has an anchor, and little by one that has the first key.
func TestWhateverIsDoneToALogShows(t *testing.T) {
	dir, key, last := signedLog(t)
	was := filesOf(t, dir)
	lines, at := was.lines()
	if r := mustVerifyThat(t, dir, Expect{key, []Checkpoint{last}}); r.Epochs < 3 || r.Anchored != r.Last || r.Last != uint64(len(lines)) || !r.KeyKnown {
		t.Fatal(r)
	}
	stolen, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	private, lastKey, _ := strings.Cut(strings.TrimSpace(string(stolen)), "\n")
	theirs, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	own, ownKey, _ := note.GenerateKey(rand.Reader, last.Origin)
	forger, err := note.NewSigner(own)
	if err != nil {
		t.Fatal(err)
	}
	noted := 0 // records before the last that has a signature in it
	for i, line := range lines {
		if bytes.Contains(line, []byte(`"detail.note"`)) {
			noted = i
		}
	}
	rounds := 280
	if os.Getenv("SALLYPORT_SOAK") != "" {
		rounds = 100_000
	}
	rnd := mathrand.New(mathrand.NewPCG(7, 7))
	done := map[string]int{}
	bad := t.TempDir()
	kinds := []string{"edit", "drop", "swap", "cut", "cut all", "double", "drop a segment", "fork", "forge", "steal", "begin anew", "edit a checkpoint", "drop checkpoints", "insert"}
	for n := range rounds {
		what := kinds[n%len(kinds)]
		ls := slices.Clone(lines)
		i, j := rnd.IntN(len(ls)), rnd.IntN(len(ls))
		edited := func(b []byte) []byte {
			b = bytes.Clone(b)
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			return b
		}
		other := func() []byte { // another record than was written, in the form of one
			return bytes.Replace(ls[i], []byte("T"), []byte("t"), 1)
		}
		now := was
		switch what {
		case "edit":
			ls[i] = edited(ls[i])
			now = was.with(ls, at)
		case "drop":
			now = was.with(slices.Delete(ls, i, i+1), slices.Delete(slices.Clone(at), i, i+1))
		case "swap":
			ls[i], ls[j] = ls[j], ls[i]
			now = was.with(ls, at)
		case "insert":
			now = was.with(slices.Insert(ls, i, ls[j]), slices.Insert(slices.Clone(at), i, at[i]))
		case "cut": // within a line or behind one
			ls = ls[:i+1]
			ls[i] = ls[i][:rnd.IntN(len(ls[i])+1)]
			now = was.with(ls, at)
		case "cut all": // and the checkpoints with it
			now = was.with(ls[:i], at)
			now[checkpointFile] = nil
		case "double":
			ls[i] = append(bytes.Clone(ls[i]), ls[i]...)
			now = was.with(ls, at)
		case "drop a segment":
			now = maps.Clone(was)
			delete(now, at[i])
		case "fork":
			ls[i] = other()
			now = was.with(rechain(ls, 0, nil, ""), at)
			now[checkpointFile] = nil
		case "forge": // with a key of their own from the beginning
			ls[i] = other()
			ls[0] = bytes.Replace(ls[0], []byte(key), []byte(ownKey), 1)
			now = was.with(rechain(ls, 0, forger, ownKey), at)
			now[checkpointFile] = nil
		case "steal": // the key that signed last, for all of it
			ls[i] = other()
			now = was.with(rechain(ls, 0, theirs, lastKey), at)
			now[checkpointFile] = nil
		case "begin anew":
			i = max(i, 1)
			now = was.with(rechain(ls[i:], 0, nil, ""), at[i:])
			now[checkpointFile] = nil
		case "edit a checkpoint":
			now = maps.Clone(was)
			now[checkpointFile] = edited(now[checkpointFile])
		case "drop checkpoints":
			now = maps.Clone(was)
			now[checkpointFile] = nil
			ls[i] = other()
			now = now.with(rechain(ls, 0, nil, ""), at)
		}
		if maps.EqualFunc(now, was, bytes.Equal) {
			continue
		}
		done[what]++
		now.write(t, bad)
		if r, err := Verify(bad, Expect{key, []Checkpoint{last}}); err == nil && r.OK() {
			t.Fatalf("round %d, %s of record %d (and %d) is not seen:\n%s", n, what, i+1, j+1, r)
		}
		if what == "fork" && i < noted { // without anything from elsewhere, by what was signed behind it
			if r, err := Verify(bad, Expect{}); err == nil && r.OK() {
				t.Fatalf("round %d, fork at record %d is not seen:\n%s", n, i+1, r)
			}
		}
		if what == "cut" || what == "cut all" { // what the key alone cannot say
			continue
		}
		if r, err := Verify(bad, Expect{Key: key}); err == nil && r.OK() {
			t.Fatalf("round %d, %s of record %d (and %d) is not seen by the key:\n%s", n, what, i+1, j+1, r)
		}
	}
	if len(done) != len(kinds) {
		t.Errorf("of %d kinds only these were done: %v", len(kinds), done)
	}
	t.Logf("%d changes: %v", rounds, done)
}

func mustVerifyThat(t *testing.T, dir string, x Expect) *Report {
	t.Helper()
	r, err := Verify(dir, x)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() {
		t.Fatal(r)
	}
	return r
}

// A cut of the end shows as soon as there is a checkpoint of what is missing: in
// the directory, or kept elsewhere. Without one the report says what it cannot know.
func TestCutsShow(t *testing.T) {
	dir, key, last := signedLog(t)
	was := filesOf(t, dir)
	lines, at := was.lines()
	bad := t.TempDir()
	cut := was.with(lines[:len(lines)-1], at)
	cut.write(t, bad)
	if r, err := Verify(bad, Expect{}); err != nil || r.OK() || !strings.Contains(r.String(), "its end is missing") {
		t.Error("by what stands beside the records:", r, err)
	}
	if _, err := Open(bad, Options{}); err == nil || !strings.Contains(err.Error(), "its end is missing") {
		t.Error("a writer goes on with it:", err)
	}
	cut[checkpointFile] = nil
	cut.write(t, bad)
	if r, err := Verify(bad, Expect{}); err != nil || !r.OK() || !strings.Contains(r.String(), "Without its key or an anchor") {
		t.Error("what cannot be known:", r, err)
	}
	if r, err := Verify(bad, Expect{Anchors: []Checkpoint{last}}); err != nil || r.OK() || !strings.Contains(r.String(), "anchor 1") {
		t.Error("by an anchor:", r, err)
	}
	other := last
	other.Origin = "sallyport/audit/other"
	if r, err := Verify(dir, Expect{Anchors: []Checkpoint{other}}); err != nil || r.OK() || !strings.Contains(r.String(), "of another log, sallyport/audit/other") || strings.Contains(r.String(), "kept elsewhere") {
		t.Error("an anchor of another log:", r, err)
	}
	if r, err := Verify(dir, Expect{Key: key}); err != nil || !r.OK() || !strings.Contains(r.String(), "cut the end off") {
		t.Error("what the key does not say:", r, err)
	}
	if r, err := Verify(dir, Expect{Key: strings.Replace(key, "A", "B", 1)}); err != nil || r.OK() || !strings.Contains(r.String(), "another key signs") {
		t.Error("another key:", r, err)
	}
}

// Every record can be shown to be in the log, to whoever has its first key alone.
func TestProofs(t *testing.T) {
	dir, key, _ := signedLog(t)
	lines, _ := filesOf(t, dir).lines()
	for i := 0; i < len(lines); i += 3 {
		line := lines[i]
		var h header
		if err := json.Unmarshal(line, &h); err != nil {
			t.Fatal(err)
		}
		p, err := Prove(dir, h.ID)
		if err != nil {
			t.Fatalf("record %d: %v", i+1, err)
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var got Proof
		if err := json.Unmarshal(b, &got); err != nil || got.Check(key+"\n") != nil || got.Record+"\n" != string(line) {
			t.Fatalf("record %d: %v, %v", i+1, err, got.Check(key))
		}
		for what, change := range map[string]func(*Proof){
			"another record":   func(p *Proof) { p.Record = strings.Replace(p.Record, "T", "t", 1) },
			"another place":    func(p *Proof) { p.Index++ },
			"no checkpoint":    func(p *Proof) { p.Checkpoint = "" },
			"another root":     func(p *Proof) { p.Path[0][3]++ },
			"a shorter path":   func(p *Proof) { p.Path = p.Path[1:] },
			"an edited signer": func(p *Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n\n", "\nnext x\n\n", 1) },
		} {
			var bad Proof
			_ = json.Unmarshal(b, &bad)
			if change(&bad); bad.Check(key) == nil {
				t.Errorf("record %d: %s is taken", i+1, what)
			}
		}
		if len(got.Keys) > 0 {
			if got.Keys = got.Keys[1:]; got.Check(key) == nil {
				t.Errorf("record %d: a key that nobody signed", i+1)
			}
		}
	}
	if _, err := Prove(dir, NewID()); err != ErrNoRecord {
		t.Error(err)
	}
}

// A crash in the middle of a change of keys leaves a log that goes on.
func TestEpochsSurviveACrash(t *testing.T) {
	for what, crash := range map[string]func(dir string) error{
		"before the new key is signed": func(dir string) error {
			_, err := newEpoch(dir, nextKeyFile, "sallyport/audit/x", 9, fdatasync)
			return err
		},
		"before the old key is destroyed": func(dir string) error {
			if err := os.Rename(filepath.Join(dir, keyFile), filepath.Join(dir, nextKeyFile)); err != nil {
				return err
			}
			_, err := newEpoch(dir, keyFile, "sallyport/audit/x", 9, fdatasync)
			return err
		},
		"while the old key is destroyed": func(dir string) error {
			if err := os.Rename(filepath.Join(dir, keyFile), filepath.Join(dir, nextKeyFile)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, keyFile), make([]byte, 200), 0o600)
		},
		"while a checkpoint is kept": func(dir string) error {
			f, err := os.OpenFile(filepath.Join(dir, checkpointFile), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString(`"sallyport/au`)
			return err
		},
	} {
		dir, key, _ := signedLog(t)
		if err := crash(dir); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, Options{})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		mustVerifyThat(t, dir, Expect{Key: key})
		if _, err := os.Stat(filepath.Join(dir, nextKeyFile)); err == nil {
			t.Errorf("%s: the next key is left", what)
		}
	}
	dir, _, _ := signedLog(t)
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "start a new log in another directory") {
		t.Errorf("a log whose key is gone: %v", err)
	}
}
