package confine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Status is what this process may do, as the kernel has it: of all its threads
// together, the most that any may.
type Status struct {
	UID, GID int
	Groups   []int
	// Sets of capabilities. The bounding set of a process without privilege cannot
	// be emptied, and with NoNewPrivs nothing comes of it.
	Effective, Permitted, Inheritable, Ambient, Bounding uint64
	NoNewPrivs                                           bool
	Seccomp                                              string // off, strict or filter
	Landlock                                             Landlock
	Dumpable                                             bool // others of the user may look into it
}

// Landlock is how it is with that.
type Landlock struct {
	ABI      int // of the kernel; 0 has none
	Enforced bool
	Reason   string // why there is none
}

// Read asks the kernel.
func Read() (*Status, error) {
	tasks, err := filepath.Glob("/proc/self/task/[0-9]*/status")
	if err != nil {
		return nil, err
	}
	st := &Status{NoNewPrivs: true, Seccomp: "filter"}
	n := 0
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) { // the thread has ended
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := st.add(string(b)); err != nil {
			return nil, fmt.Errorf("%s: %w", t, err)
		}
		n++
	}
	if n == 0 {
		return nil, errors.New("/proc/self/task tells of no thread")
	}
	dump, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return nil, err
	}
	st.Dumpable = dump != 0
	if st.Landlock.ABI, err = landlockABI(); err != nil {
		st.Landlock.Reason = err.Error()
	}
	st.Landlock.Enforced = withheldRoot()
	return st, nil
}

// withheldRoot reports whether the root directory, which is for everybody and is
// never left by a ruleset, cannot be read.
func withheldRoot() bool {
	f, err := os.Open("/")
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, unix.EACCES) && unix.Access("/", unix.R_OK) == nil
}

// add takes what one thread may into account.
func (s *Status) add(text string) error {
	f := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(line, ":")
		f[k] = strings.TrimSpace(v)
	}
	var errs []error
	number := func(s string, base int) uint64 {
		n, err := strconv.ParseUint(s, base, 64)
		errs = append(errs, err)
		return n
	}
	effective := func(key string) int { // real, effective, saved, of the file system
		ids := strings.Fields(f[key])
		if len(ids) < 2 {
			errs = append(errs, fmt.Errorf("no %s", key))
			return -1
		}
		return int(number(ids[1], 10))
	}
	s.UID, s.GID, s.Groups = effective("Uid"), effective("Gid"), nil
	for _, g := range strings.Fields(f["Groups"]) {
		s.Groups = append(s.Groups, int(number(g, 10)))
	}
	for key, set := range map[string]*uint64{"CapEff": &s.Effective, "CapPrm": &s.Permitted, "CapInh": &s.Inheritable, "CapAmb": &s.Ambient, "CapBnd": &s.Bounding} {
		*set |= number(f[key], 16)
	}
	s.NoNewPrivs = s.NoNewPrivs && f["NoNewPrivs"] == "1"
	switch f["Seccomp"] {
	case "2":
	case "1":
		s.Seccomp = "strict"
	default:
		s.Seccomp = "off"
	}
	return errors.Join(errs...)
}

// check is nil for a process that has what Enter leaves, and no more.
func (s *Status) check() error {
	switch {
	case s.Effective|s.Permitted|s.Inheritable|s.Ambient != 0:
		return errors.New("it has capabilities")
	case !s.NoNewPrivs:
		return errors.New("no_new_privs is not set")
	case s.Seccomp != "filter":
		return errors.New("there is no system call filter")
	case s.Dumpable:
		return errors.New("it is dumpable")
	case !errors.Is(unix.Unshare(0), unix.EPERM): // which everybody else may
		return errors.New("the system call filter is another one")
	}
	return nil
}
