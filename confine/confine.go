// Package confine gives up, for good, what a process that parses hostile bytes has no need of.
package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Spec says what is left to a process.
type Spec struct {
	// As is whose it is from then on; nil keeps the user.
	As *Account
	// Files are what Landlock leaves of the file system.
	Files Files
}

// Files are absolute paths. What is below a directory is meant too. One that is
// not there is passed over.
type Files struct {
	Read    []string // files and directories
	Write   []string // directories in which files are made, changed and removed
	Sockets []string // directories in which Unix sockets and directories are made and removed
}

// marker is set in the environment of the program that Enter executes.
const marker = "SALLYPORT_CONFINED"

// entered is what the program before tells the one that it becomes.
type entered struct {
	Landlock       string   `json:",omitempty"` // why it is not in force
	Write, Sockets []string `json:",omitempty"` // of Files
}

// Entered reports whether this process was executed by Enter.
func Entered() bool { return os.Getenv(marker) != "" }

// Enter gives everything up on one thread and executes this program again with
// the same arguments, as the same process: what is given up is inherited, so that
// no thread keeps anything. It returns only when that fails, and then the process
// is good for nothing but to end. Landlock is the one part that may be missing.
func Enter(s Spec) error {
	runtime.LockOSThread() // and never let go of
	self, err := os.Executable()
	if err != nil {
		return err
	}
	e := entered{Write: s.Files.Write, Sockets: s.Files.Sockets}
	rules, err := s.Files.ruleset(s.uid()) // opens what only the user before may reach
	if err != nil {
		e.Landlock = err.Error()
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("no core files: %w", err)
	}
	if err := dropBounding(0); err != nil {
		return err
	}
	if err := s.As.become(); err != nil {
		return err
	}
	if err := DropCapabilities(ThisThread); err != nil {
		return err
	}
	if rules != nil {
		if err := rules.enforce(); err != nil {
			e.Landlock = err.Error()
		}
	}
	f, err := sidecarFilter()
	if err != nil {
		return err
	}
	if err := f.Install(ThisThread); err != nil {
		return err
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	env := append(os.Environ(), marker+"="+string(text))
	err = syscall.Exec(self, os.Args, env)
	if errors.Is(err, unix.EACCES) { // a directory above it is closed to the user
		err = syscall.Exec("/proc/self/exe", os.Args, env)
	}
	return fmt.Errorf("executing %s again, confined: %w", self, err)
}

func (s Spec) uid() int {
	if s.As != nil {
		return s.As.UID
	}
	return os.Getuid()
}

// A Confined is what a process that was executed by Enter knows of its limits.
type Confined struct {
	// NoLandlock is why Landlock is not in force; "" when it is.
	NoLandlock string
	files      Files
}

// Settle completes, in the program that Enter executed, what an execution does
// not inherit, and checks that the rest was: an error means that this process is
// not what it should be. From then on nothing can be executed.
func Settle() (*Confined, error) {
	var e entered
	if err := json.Unmarshal([]byte(os.Getenv(marker)), &e); err != nil {
		return nil, fmt.Errorf("%s is for sallyport itself", marker)
	}
	_ = os.Unsetenv(marker)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("not dumpable: %w", err)
	}
	f, err := settledFilter()
	if err != nil {
		return nil, err
	}
	if err := f.Install(AllThreads); err != nil {
		return nil, err
	}
	st, err := Read()
	if err != nil {
		return nil, err
	}
	if err := st.check(); err != nil {
		return nil, fmt.Errorf("this process is not confined, though its environment says so: %w", err)
	}
	c := &Confined{NoLandlock: e.Landlock, files: Files{Write: e.Write, Sockets: e.Sockets}}
	if !st.Landlock.Enforced && c.NoLandlock == "" {
		return nil, errors.New("this process is not confined, though its environment says so: Landlock is not in force")
	}
	return c, nil
}
