package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Log is one append-only sequence of records in a directory. It is safe for
// concurrent use.
type Log struct {
	dir  string
	o    Options
	lock *os.File
	boot string
	born time.Time
	in   chan *pending
	stop chan struct{}
	done chan struct{}
	once sync.Once

	appending sync.Mutex
	appended  []*Event // that nobody waits for, and the writer has not taken
	ended     bool     // the writer takes no more of them
	poke      chan struct{}

	mu  sync.Mutex
	bad error // why the last batch failed; nil when it did not

	// Of the writer alone.
	seg     *segment
	seq     uint64
	prev    string
	loose   loose     // what was written and not synced
	backlog []*Event  // that nobody waits for and that did not reach the disk yet
	lost    int       // of those, what there was no room for
	wrote   time.Time // when the first of loose was
	buf     []byte    // of a batch
	scratch []byte    // of a line before the filter
}

// loose are the records at the end of the segment that nobody waits for: they
// are in the file, and become durable with the next that somebody does wait for,
// or soon by themselves.
type loose struct {
	evs  []*Event
	seq  uint64 // where the chain stands without them
	prev string
}

type pending struct {
	ev   *Event
	wait chan result // nil when nobody waits
}

type result struct {
	r   Receipt
	err error
}

// Limits of one group commit, and of what waits for one.
const (
	batchRecords = 256
	batchBytes   = 1 << 20
	queueLength  = 1024
	maxBacklog   = 4096
	watchEvery   = 5 * time.Second
	// What nobody waits for goes with what somebody does, or soon by itself: it is
	// written, then synced.
	writeWithin = 2 * time.Millisecond
	syncWithin  = 50 * time.Millisecond
)

func fdatasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Open opens the log in dir, which it makes if need be, repairs what a crash left
// of its end, and marks the decisions whose outcome nobody saw. One process
// writes a log.
func Open(dir string, o Options) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%s is written by another process: %w", dir, err)
	}
	l := &Log{dir: dir, o: o.or(), lock: lock, boot: bootID(), born: time.Now(), in: make(chan *pending, queueLength), stop: make(chan struct{}), done: make(chan struct{}), poke: make(chan struct{}, 1)}
	if err := l.start(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	go l.run()
	return l, nil
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// start recovers and writes the first records.
func (l *Log) start() error {
	rec, err := recoverLog(l.dir, l.o.Sync)
	if err != nil {
		return err
	}
	l.seq, l.prev = rec.seq, rec.prev
	if err := l.keepReserve(); err != nil {
		return err
	}
	if err := l.open(rec.last, ""); err != nil {
		return err
	}
	var evs []*Event
	if rec.torn > 0 {
		evs = append(evs, &Event{Name: AuditRecovered, Lifecycle: &Lifecycle{Detail: map[string]string{"segment": rec.last, "bytes": fmt.Sprint(rec.torn), "sha256": rec.tornSum, "kept": rec.tornFile}}})
	}
	for _, d := range rec.open {
		evs = append(evs, &Event{Name: RequestLost, Of: d})
	}
	for len(evs) > 0 {
		n := min(len(evs), batchRecords)
		if err := l.commit(evs[:n], nil, true); err != nil {
			return err
		}
		evs = evs[n:]
	}
	return nil
}

// Record makes an event durable. It returns when it is, or with ErrUnavailable;
// when ctx ends first the event may still be written.
func (l *Log) Record(ctx context.Context, ev *Event) (Receipt, error) {
	p := &pending{ev: ev, wait: make(chan result, 1)}
	select {
	case l.in <- p:
	case <-l.stop:
		return Receipt{}, fmt.Errorf("%w: it is closed", ErrUnavailable)
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	select {
	case r := <-p.wait:
		return r.r, r.err
	case <-l.done:
		select {
		case r := <-p.wait:
			return r.r, r.err
		default:
			return Receipt{}, fmt.Errorf("%w: it is closed", ErrUnavailable)
		}
	}
}

// Append hands an event over. It is written with the next group, and kept for a
// later one when that fails; Close waits for it.
func (l *Log) Append(ev *Event) error {
	l.appending.Lock()
	if len(l.appended) < queueLength && !l.ended {
		l.appended = append(l.appended, ev)
		first := len(l.appended) == 1
		l.appending.Unlock()
		if first {
			select {
			case l.poke <- struct{}{}:
			default:
			}
		}
		return nil
	}
	l.appending.Unlock()
	select {
	case l.in <- &pending{ev: ev}:
		return nil
	case <-l.stop:
		return fmt.Errorf("%w: it is closed", ErrUnavailable)
	}
}

// Ready returns why records cannot be made durable, or nil.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bad
}

// Close writes what is waiting and the closing record.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.done
	return l.Ready()
}

// run is the one writer.
func (l *Log) run() {
	defer close(l.done)
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	var soon <-chan time.Time
	for {
		poked := false
		select {
		case p := <-l.in:
			l.group(p)
		case <-l.poke:
			poked = true
		case <-soon:
			soon = nil
			if l.group(nil); len(l.loose.evs) > 0 && time.Since(l.wrote) >= syncWithin {
				l.settle()
			}
		case <-watch.C:
			if len(l.backlog) > 0 || !l.seg.present() {
				l.group(nil)
			}
		case <-l.stop:
			l.finish()
			return
		}
		switch {
		case soon != nil:
		case poked:
			soon = time.After(writeWithin)
		case len(l.loose.evs) > 0:
			soon = time.After(syncWithin)
		}
	}
}

// settle makes what nobody waits for durable. When that fails it goes into the
// next segment.
func (l *Log) settle() {
	if l.seg == nil || len(l.loose.evs) == 0 {
		return
	}
	if err := l.seg.sync(l.o.Sync); err != nil {
		l.giveUp()
		return
	}
	l.loose = loose{}
}

// giveUp takes the chain back to what is durable; what is not waits for the next
// segment.
func (l *Log) giveUp() {
	l.seg.failed = true
	if n := len(l.loose.evs); n > 0 {
		l.seq, l.prev = l.loose.seq, l.loose.prev
		l.backlog = append(l.loose.evs, l.backlog...)
		l.loose = loose{}
	}
}

// group takes what is waiting and commits it together.
func (l *Log) group(first *pending) {
	evs, waits := l.backlog, make([]chan result, len(l.backlog))
	l.backlog = nil
	take := func(p *pending) {
		if p != nil {
			evs, waits = append(evs, p.ev), append(waits, p.wait)
		}
	}
	add := func() {
		l.appending.Lock()
		more := l.appended
		l.appended = nil
		l.appending.Unlock()
		evs = append(evs, more...)
		waits = append(waits, make([]chan result, len(more))...)
	}
	add()
	take(first)
	for tries := 0; tries < 16 && len(evs) < batchRecords; { // once more for those who are about to
		select {
		case p := <-l.in:
			take(p)
		default:
			tries++
			runtime.Gosched()
		}
	}
	add()
	for len(evs) > 0 {
		n := min(len(evs), batchRecords)
		_ = l.commit(evs[:n], waits[:n], false)
		evs, waits = evs[n:], waits[n:]
	}
}

// commit writes one batch, and syncs when somebody waits for a part of it or it
// is to be durable at once. The error is of all that are waited for.
func (l *Log) commit(evs []*Event, waits []chan result, durable bool) error {
	for _, w := range waits {
		durable = durable || w != nil
	}
	err := l.ensure()
	seq, prev := l.seq, l.prev
	rs := make([]Receipt, len(evs))
	if err == nil {
		buf := l.buf[:0]
		for i, ev := range evs {
			start := len(buf)
			buf, rs[i] = l.line(buf, ev)
			l.chain(buf[start:])
		}
		if cap(buf) <= batchBytes {
			l.buf = buf
		}
		if err = l.seg.write(buf); err != nil {
			l.seq, l.prev = seq, prev
			if l.seg.failed {
				l.giveUp()
			}
		} else if durable || len(l.loose.evs)+len(evs) > batchRecords {
			if err = l.seg.sync(l.o.Sync); err != nil {
				l.seq, l.prev = seq, prev
				l.giveUp()
			} else {
				l.loose = loose{}
			}
		} else {
			if len(l.loose.evs) == 0 {
				l.loose.seq, l.loose.prev, l.wrote = seq, prev, time.Now()
			}
			l.loose.evs = append(l.loose.evs, evs...)
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l.mu.Lock()
	l.bad = err
	l.mu.Unlock()
	for i, ev := range evs {
		switch {
		case waits != nil && waits[i] != nil:
			waits[i] <- result{rs[i], err}
		case err != nil && len(l.backlog) < maxBacklog:
			l.backlog = append(l.backlog, ev)
		case err != nil:
			l.lost++
		}
	}
	if err == nil && l.lost > 0 {
		n := l.lost
		l.lost = 0
		return l.commit([]*Event{{Name: AuditRecovered, Lifecycle: &Lifecycle{Lost: n, Detail: map[string]string{"why": "the disk was not available for longer than there was room in memory"}}}}, nil, false)
	}
	return err
}

// ensure has a segment to write to.
func (l *Log) ensure() error {
	switch {
	case l.seg == nil:
		return l.open("", "")
	case l.seg.failed:
		return l.open(l.seg.name, fmt.Sprint(l.seg.synced))
	case !l.seg.present():
		l.seg.failed, l.loose = true, loose{} // they went with the file
		return l.open(l.seg.name, "")
	case l.seg.off >= l.o.SegmentBytes:
		if l.settle(); l.seg.failed {
			return l.open(l.seg.name, fmt.Sprint(l.seg.synced))
		}
		return l.open(l.seg.name, "")
	}
	return nil
}

// open begins a segment with a record that names the one before. abandoned says
// up to which byte that one counts, when its end does not.
func (l *Log) open(before, abandoned string) error {
	s, err := createSegment(l.dir, l.seq+1)
	if err != nil {
		return err
	}
	d := map[string]string{"first": fmt.Sprint(l.seq + 1)}
	if before != "" {
		d["before"] = before
	}
	if abandoned != "" {
		d["abandoned_at"] = abandoned
	}
	seq, prev := l.seq, l.prev
	line, _ := l.line(nil, &Event{Name: AuditOpen, Lifecycle: &Lifecycle{Version: "sallyport", Detail: d}})
	l.chain(line)
	err = s.write(line)
	if err == nil {
		err = s.sync(l.o.Sync)
	}
	if err != nil {
		l.seq, l.prev = seq, prev
		s.discard()
		return err
	}
	if err := syncDir(l.dir); err != nil {
		l.seq, l.prev = seq, prev
		s.discard()
		return err
	}
	if l.seg != nil {
		_ = l.seg.f.Close()
	}
	l.seg = s
	return nil
}

// line encodes one event as the next record.
func (l *Log) line(dst []byte, ev *Event) ([]byte, Receipt) {
	e := *ev
	if e.ID == "" {
		e.ID = NewID()
	}
	p := place{seq: l.seq + 1, prev: l.prev, boot: l.boot, mono: int64(time.Since(l.born)), now: l.o.Now()}
	start := len(dst)
	dst = l.filtered(dst, &e, p)
	if len(dst)-start > maxLine { // keep what says who, where and what was decided
		e.Sandbox.Labels, e.Credential, e.Lifecycle = nil, nil, nil
		if e.Decision != nil {
			d := *e.Decision
			d.Input, d.Reasons, d.Tags = nil, nil, append([]string{"record_cut"}, d.Tags[:min(len(d.Tags), 1)]...)
			e.Decision = &d
		}
		p.max = 512
		dst = l.filtered(dst[:start], &e, p)
	}
	return append(dst, '\n'), Receipt{e.ID, p.seq}
}

func (l *Log) filtered(dst []byte, ev *Event, p place) []byte {
	if l.o.Filter == nil {
		return encode(dst, ev, p, l.o.Service)
	}
	l.scratch = encode(l.scratch[:0], ev, p, l.o.Service)
	return append(dst, l.o.Filter(l.scratch)...)
}

func (l *Log) chain(line []byte) {
	sum := sha256.Sum256(line)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	l.prev = string(text[:])
	l.seq++
}

// finish writes the end of the log; a full disk gives up its reserve for it.
func (l *Log) finish() {
	l.appending.Lock()
	l.ended = true
	l.appending.Unlock()
	l.group(nil)
	for more := true; more; {
		select {
		case p := <-l.in:
			l.group(p)
		default:
			more = false
		}
	}
	end := []*Event{{Name: AuditClosed}}
	if len(l.backlog) > 0 || l.Ready() != nil {
		l.dropReserve()
		l.group(nil)
	}
	if l.commit(end, nil, true) != nil { // end is in the backlog now, behind what was there
		l.dropReserve()
		rest := l.backlog
		l.backlog = nil
		_ = l.commit(rest, nil, true)
	}
	l.dropReserve()
	if l.seg != nil {
		_ = l.seg.f.Close()
	}
	_ = l.lock.Close()
}
