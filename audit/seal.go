package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// How often what was written is signed: after so many records, or so long after
// the first of them; and how often when there are none, so that whoever gets
// records elsewhere knows that there were none.
const (
	sealRecords = 1024
	sealAfter   = 10 * time.Second
	sealIdle    = time.Minute
	epochLasts  = time.Hour // if no segment is begun before
)

// A seal signs what is durable. It is the writer's own.
type seal struct {
	origin string
	tree   tree
	fresh  []tlog.Hash // of what was written and is not durable yet
	epoch  epoch
	since  time.Time // when the epoch began
	signed uint64    // records that the last checkpoint is of
	own    bool      // the record behind those is the checkpoint itself
	at     time.Time // when that was
	next   time.Time // when it may be tried again
	owed   bool      // the last key is not destroyed yet
}

// durable takes in what was written.
func (s *seal) durable() {
	for _, h := range s.fresh {
		s.tree.add(h)
	}
	s.fresh = s.fresh[:0]
}

// due reports whether what is durable is to be signed.
func (s *seal) due(now time.Time) bool {
	unsigned := s.tree.size + uint64(len(s.fresh)) - s.signed
	if s.own {
		unsigned--
	}
	switch {
	case now.Before(s.next):
		return false
	case unsigned == 0:
		return now.Sub(s.at) >= sealIdle
	}
	return unsigned >= sealRecords || now.Sub(s.at) >= sealAfter
}

// checkpoint signs what the log holds now, with the key that signs from here on
// when there is to be another. It is on the disk when it returns.
func (l *Log) checkpoint(next string) (string, error) {
	c := Checkpoint{Origin: l.seal.origin, Size: l.seal.tree.size, Root: l.seal.tree.root(), Next: next}
	text, err := note.Sign(&note.Note{Text: c.text()}, l.seal.epoch.signer)
	if err != nil {
		return "", err
	}
	return string(text), keepCheckpoint(l.dir, string(text), l.o.Sync)
}

// sealUp signs what is durable and records that. What goes wrong is tried again
// soon: records are durable without it.
func (l *Log) sealUp() {
	now := time.Now()
	if !l.seal.due(now) {
		return
	}
	l.seal.next = now.Add(time.Second)
	if l.settle(); l.Ready() != nil || l.ensure() != nil || len(l.seal.fresh) > 0 {
		return
	}
	size := l.seal.tree.size
	text, err := l.checkpoint("")
	if err != nil {
		return
	}
	l.seal.signed, l.seal.own, l.seal.at, l.seal.next = size, false, now, time.Time{}
	if l.alone(&Event{Name: AuditCheckpoint, Lifecycle: &Lifecycle{Detail: map[string]string{"note": text}}}) == nil {
		l.seal.own = l.seal.tree.size == size+1
	}
}

// alone commits one event that is not kept for later when that fails: what it
// says is true only here.
func (l *Log) alone(ev *Event) error {
	wait := make(chan result, 1)
	return l.commit([]*Event{ev}, []chan result{wait}, true)
}

// turn ends the epoch: the key signs the next and is destroyed. A key that cannot
// be replaced now goes on to sign.
func (l *Log) turn() error {
	if l.seal.owed { // the key in force still has the name of the next
		err := succeed(l.dir)
		l.seal.owed = err != nil
		return err
	}
	if l.settle(); l.Ready() != nil || l.ensure() != nil || len(l.seal.fresh) > 0 {
		return errors.New("the log cannot be written now")
	}
	next, err := newEpoch(l.dir, nextKeyFile, l.seal.origin, l.seal.epoch.n+1, l.o.Sync)
	if err == nil {
		err = syncDir(l.dir)
	}
	if err != nil {
		return err
	}
	size := l.seal.tree.size
	text, err := l.checkpoint(next.key)
	if err != nil {
		return err
	}
	if err := l.alone(&Event{Name: AuditEpoch, Lifecycle: &Lifecycle{Detail: map[string]string{"epoch": fmt.Sprint(next.n), "key": next.key, "note": text}}}); err != nil {
		return err
	}
	l.seal.epoch, l.seal.since = next, time.Now()
	l.seal.signed, l.seal.own, l.seal.at = size, l.seal.tree.size == size+1, time.Now()
	err = succeed(l.dir)
	l.seal.owed = err != nil
	return err
}

// checkpointFile has the signed checkpoints, the last behind the others: a JSON
// text in each line. It is another file than the records, so that cutting those
// alone shows.
const (
	checkpointFile = "checkpoints"
	maxCheckpoints = 1 << 20 // of which the end is kept when a log is opened
)

func keepCheckpoint(dir, text string, sync func(*os.File) error) error {
	f, err := os.OpenFile(filepath.Join(dir, checkpointFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := json.Marshal(text)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		_ = f.Truncate(st.Size())
		return err
	}
	return sync(f)
}

// checkpoints returns the signed checkpoints that a log's directory has, in order.
// Behind the last there may be the beginning of one, which a crash cut.
func checkpoints(dir string) (out []string, err error) {
	f, err := os.Open(filepath.Join(dir, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 2*maxCheckpoint)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		if err != nil && errors.Is(err, bufio.ErrBufferFull) || err == nil && !json.Valid(line) {
			return nil, &BreakError{checkpointFile, n, errCheckpoint.Error()}
		}
		if err != nil {
			return out, nil
		}
		var text string
		if json.Unmarshal(line, &text) != nil {
			return nil, &BreakError{checkpointFile, n, errCheckpoint.Error()}
		}
		out = append(out, text)
	}
}

// startSeal goes on where the log was signed last, with the key of that time.
func (l *Log) startSeal(rec *recovered) (err error) {
	l.seal = seal{origin: rec.sealed.origin, tree: rec.sealed.tree, since: time.Now(), at: time.Now()}
	if rec.sealed.key == "" {
		l.seal.origin = "sallyport/audit/" + NewID()
		l.seal.epoch, err = newEpoch(l.dir, keyFile, l.seal.origin, 0, l.o.Sync)
		return err
	}
	if err := tidyCheckpoints(l.dir); err != nil {
		return err
	}
	l.seal.epoch, err = loadEpoch(l.dir, rec.sealed.key, rec.sealed.epoch)
	return err
}

// tidyCheckpoints takes off what a crash cut, and all but the last of many.
func tidyCheckpoints(dir string) error {
	path := filepath.Join(dir, checkpointFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := b[:bytes.LastIndexByte(b, '\n')+1]
	if len(kept) > maxCheckpoints {
		kept = kept[len(kept)-maxCheckpoints/2:]
		kept = kept[bytes.IndexByte(kept, '\n')+1:]
	}
	if len(kept) == len(b) {
		return nil
	}
	return renameio.WriteFile(path, kept, 0o600)
}
