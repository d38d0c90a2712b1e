package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"time"
)

// run is the one writer: what follows is called by it alone, or before it begins.
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
			l.spare.keep(l.dir)
			if len(l.backlog) > 0 || !l.seg.present() {
				l.group(nil)
			}
		case <-l.stop:
			l.finish()
			return
		}
		l.sealUp()
		if l.rotated || time.Since(l.seal.since) >= epochLasts {
			if l.turn() == nil {
				l.rotated = false
			} else {
				l.seal.since = time.Now().Add(time.Minute - epochLasts) // is tried again
			}
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
	l.seal.durable()
	l.advance()
}

// giveUp takes the chain back to what is durable; what is not waits for the next
// segment.
func (l *Log) giveUp() {
	l.seg.failed = true
	l.seal.fresh = l.seal.fresh[:0]
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
	seq, prev, fresh := l.seq, l.prev, len(l.seal.fresh)
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
			l.seq, l.prev, l.seal.fresh = seq, prev, l.seal.fresh[:fresh]
			if l.seg.failed {
				l.giveUp()
			}
		} else if durable || len(l.loose.evs)+len(evs) > batchRecords {
			if err = l.seg.sync(l.o.Sync); err != nil {
				l.seq, l.prev = seq, prev
				l.giveUp()
			} else {
				l.loose = loose{}
				l.seal.durable()
				l.advance()
			}
		} else {
			if len(l.loose.evs) == 0 {
				l.loose.seq, l.loose.prev, l.wrote = seq, prev, time.Now()
			}
			l.loose.evs = append(l.loose.evs, evs...)
		}
		if err == nil {
			l.o.Written(buf)
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
		l.seal.durable()
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
	s, err := createSegment(l.dir, l.seq+1, &l.spare)
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
	if l.seq == 0 {
		d["origin"], d["key"] = l.seal.origin, l.seal.epoch.key
	}
	seq, prev := l.seq, l.prev
	line, _ := l.line(nil, &Event{Name: AuditOpen, Lifecycle: &Lifecycle{Version: "sallyport", Detail: d}})
	l.chain(line)
	err = s.write(line)
	if err == nil {
		err = s.sync(l.o.Sync)
	}
	if err == nil {
		err = l.spare.sync(l.dir)
	}
	if err != nil {
		l.seq, l.prev, l.seal.fresh = seq, prev, l.seal.fresh[:0]
		s.discard()
		return err
	}
	l.seal.durable()
	if l.seg != nil {
		_ = l.seg.f.Close()
		l.rotated = true
	}
	l.seg = s
	l.advance()
	l.spare.keep(l.dir)
	l.o.Written(line)
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
			d.Input, d.Reads, d.Reasons, d.Tags = nil, nil, nil, append([]string{"record_cut"}, d.Tags[:min(len(d.Tags), 1)]...)
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
	l.seal.fresh = append(l.seal.fresh, leaf(line))
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
	if l.Ready() == nil {
		_, _ = l.checkpoint("")
	}
	l.dropReserve()
	l.spare.close(l.dir)
	if l.seg != nil {
		_ = l.seg.f.Close()
	}
	_ = l.lock.Close()
}
