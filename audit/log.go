package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

	moving sync.Mutex
	at     Position      // behind what is durable
	moved  chan struct{} // closed when that changes

	mu  sync.Mutex
	bad error // why the last batch failed; nil when it did not

	// Of the writer alone.
	seg     *segment
	seq     uint64
	prev    string
	seal    seal
	rotated bool // since the epoch began
	spare   spare
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
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the log %s is written by another process: each sallyport has a log of its own", dir)
		}
		return nil, fmt.Errorf("the log %s cannot be locked: %w", dir, err)
	}
	l := &Log{dir: dir, o: o.or(), lock: lock, boot: bootID(), born: time.Now(), in: make(chan *pending, queueLength), stop: make(chan struct{}), done: make(chan struct{}), poke: make(chan struct{}, 1), moved: make(chan struct{})}
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
	if err := l.startSeal(rec); err != nil {
		return err
	}
	if err := l.open(rec.last, ""); err != nil {
		return err
	}
	var evs []*Event
	if rec.seq > 0 && rec.sealed.key == "" { // by a version that did not sign
		evs = append(evs, &Event{Name: AuditEpoch, Lifecycle: &Lifecycle{Detail: map[string]string{"epoch": "0", "origin": l.seal.origin, "key": l.seal.epoch.key}}})
	}
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
