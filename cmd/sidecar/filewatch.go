package sidecar

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// watchEvery is how often files are looked at. Looking sees what replaces a link
// or a directory, as orchestrators do, as well as what is written in place.
const watchEvery = time.Second

// A fileWatch tells when files or what is below directories differ.
type fileWatch struct {
	changed chan struct{}
	stop    chan struct{}
	done    chan struct{}

	mu    sync.Mutex
	paths []string
	last  [sha256.Size]byte
}

// newFileWatch compares with a digest that was taken before the files were read.
func newFileWatch(paths []string, seen [sha256.Size]byte) *fileWatch {
	w := &fileWatch{changed: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}), paths: paths, last: seen}
	go w.run()
	return w
}

// follow looks at these from now on, and compares with a digest that was taken
// before they were read: what changed meanwhile is told.
func (w *fileWatch) follow(paths []string, seen [sha256.Size]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paths, w.last = slices.Clone(paths), seen
}

func (w *fileWatch) run() {
	defer close(w.done)
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-w.stop:
			return
		}
		w.mu.Lock()
		now := look(w.paths)
		differs := now != w.last
		w.mu.Unlock()
		if !differs {
			continue
		}
		select {
		case w.changed <- struct{}{}:
		case <-w.stop:
			return
		}
	}
}

func (w *fileWatch) close() {
	close(w.stop)
	<-w.done
}

// look is a digest of what is there: names, sizes and times.
func look(paths []string) (out [sha256.Size]byte) {
	for _, p := range paths {
		out = lookOn(out, p)
	}
	return out
}

// lookOn adds one path to a digest.
func lookOn(so [sha256.Size]byte, p string) [sha256.Size]byte {
	h := sha256.New()
	h.Write(so[:])
	if real, err := filepath.EvalSymlinks(p); err == nil {
		p = real
	}
	_ = filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintln(h, path, "missing")
			return nil
		}
		if st, err := d.Info(); err == nil && !d.IsDir() {
			fmt.Fprintln(h, path, st.Size(), st.ModTime().UnixNano())
		}
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil))
}
