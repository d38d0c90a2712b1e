package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sallyport/config"
	"sallyport/confine"
	"sallyport/credentials"
)

// A Checked is what there is to say of a configuration that serve would take.
type Checked struct {
	Advice []string // what is likely not meant, a line each
}

// Check says everything that keeps serve from taking a configuration, at its place in
// the file: with its policies and credentials and, unless it is for elsewhere, the
// directories and addresses of this machine. Nothing is made.
func Check(ctx context.Context, file string, elsewhere bool) (out Checked, err error) {
	advice := &config.Problems{File: file}
	p, err := draftPlan(ctx, file, &credentials.Shared{}, nil, func(bad *config.Problems, p *plan) {
		p.advise(advice)
		if elsewhere {
			return
		}
		as := account(&config.Problems{}, p.file)
		if as != nil && os.Geteuid() != 0 && os.Geteuid() != as.UID {
			advice.Add(p.file.User.Pos, "user", "only root can start serve as another user, and this is user %d: what that user may write was not looked at", os.Geteuid())
			return
		}
		p.placed(bad, as)
	})
	if err != nil {
		return out, err
	}
	p.close()
	if err := advice.Err(); err != nil {
		out.Advice = strings.Split(err.Error(), "\n")
	}
	return out, nil
}

// advise says what is taken and is likely not meant.
func (p *plan) advise(advice *config.Problems) {
	for i, c := range p.file.Sandboxes {
		if c.Enrol.Dir.S == "" && c.Explicit.Socket.S == "" && c.Explicit.Listen.S == "" {
			advice.Add(c.Name.Pos, fmt.Sprintf("sandboxes[%d]", i), "nothing can ever come in as %s: it has neither enrol nor explicit. Commands make sandboxes of their own, such as run --sidecar, attach and sandbox create, under names that are not in the configuration", c.Name.S)
		}
	}
	c := p.file.Control.Socket
	if created := filepath.Join(filepath.Dir(c.S), enrolDirectory, strings.Repeat("0", len("01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11")), EnrolSocket); fitting(created) != nil && fitting(c.S) == nil {
		advice.Add(c.Pos, "control.socket", "commands can make no sandbox: the paths of their sockets, beside this one, have %d bytes more than its directory, and a socket's has at most %d", len(created)-len(filepath.Dir(c.S)), maxSocketPath)
	}
}

// placed says what of this machine keeps serve from using what a configuration names,
// as prepare and those who open it would.
func (p *plan) placed(bad *config.Problems, as *confine.Account) {
	fp, control := footprintOf("", p.file), p.file.Control.Socket
	sockets := append([]named{{"control.socket", filepath.Dir(control.S), control}}, append(fp.explicit, fp.enrol...)...)
	uid := os.Getuid()
	if as != nil {
		uid = as.UID
	}
	wrong := func(n named, err error) bool {
		if err != nil && !slices.ContainsFunc(bad.List, func(x config.Problem) bool { return x.Key == n.key }) {
			bad.Add(n.at.Pos, n.key, "%s", strings.TrimPrefix(err.Error(), n.key+": "))
		}
		return err != nil
	}
	for _, n := range fp.write {
		if n.at.Pos == (config.Pos{}) && strings.HasPrefix(n.path, p.file.State.S+"/") { // it is made in state
			continue
		}
		wrong(n, suits(n.key, n.path, as, nil))
	}
	for _, n := range sockets {
		if wrong(n, suits(n.key, n.path, as, ofSockets)) {
			continue
		}
		if err := directoryOf(n.path, uid); !errors.Is(err, fs.ErrNotExist) && wrong(n, err) {
			continue
		}
		path := n.at.S
		switch {
		case strings.HasSuffix(n.key, ".ca"):
			continue
		case strings.HasSuffix(n.key, ".dir"):
			path = filepath.Join(path, EnrolSocket)
		}
		if wrong(n, fitting(path)) {
			continue
		}
		if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSocket == 0 {
			wrong(n, fmt.Errorf("%s is there and is no socket", path))
		}
	}
	for _, n := range p.listens() {
		l, err := net.Listen("tcp", n.at.S)
		if err == nil {
			_ = l.Close()
		} else if !errors.Is(err, syscall.EADDRINUSE) { // by a serve that runs, perhaps
			wrong(n, err)
		}
	}
}

// listens are the addresses on which TCP is taken.
func (p *plan) listens() (out []named) {
	if t := p.file.Control.Listen.Address; t.S != "" {
		out = append(out, named{"control.listen.address", "", t})
	}
	for _, x := range p.sandboxes {
		if !x.door.listen.IsValid() {
			continue
		}
		for i, c := range p.file.Sandboxes {
			if c.Name.S == x.Name {
				out = append(out, named{fmt.Sprintf("sandboxes[%d].explicit.listen", i), "", c.Explicit.Listen})
			}
		}
	}
	return out
}

// suits says why serve would refuse a directory, which is not made.
func suits(key, dir string, as *confine.Account, expected func(fs.DirEntry) bool) error {
	up := followed(dir)
	for st, err := os.Stat(up); ; st, err = os.Stat(up) {
		if err == nil && !st.IsDir() {
			return fmt.Errorf("%s: %s is no directory", key, up)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", key, err)
		}
		up = filepath.Dir(up)
	}
	there := up == followed(dir)
	if err := unix.Access(up, unix.W_OK|unix.X_OK); err != nil && !there {
		return unmade(key, &fs.PathError{Op: "mkdir", Path: dir, Err: err})
	} else if err != nil {
		return fmt.Errorf("%s: user %d, as whom serve is to run, may not write the directory %s", key, os.Getuid(), dir)
	}
	if err := firmly(key, dir); err != nil || !there {
		return err
	}
	d, err := given(key, dir, false, as, expected)
	if d != nil {
		_ = d.Close()
	}
	return err
}
