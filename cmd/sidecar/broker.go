package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/confine"
	"sallyport/credentials/command"
)

// brokerFile is the descriptor of its connection in a broker; brokerVariable says in
// the environment which that of serve is.
const (
	brokerFile     = 3
	brokerVariable = "SALLYPORT_BROKER"
	brokerStarts   = 10 * time.Second
)

// broker runs the programs of sources, which serve itself cannot: nil when the
// configuration named none at the start.
var broker *command.Client

// runner is who runs programs of a plan.
func runner() command.Runner {
	switch {
	case broker != nil:
		return broker
	case limits != nil: // and nothing can be started any more
		return command.Nobody{}
	}
	return command.Here{}
}

// startBroker starts the process that runs what a configuration names, as the user
// that serve becomes, before serve gives that up. It is told once what that is.
func startBroker(f *config.File, as *confine.Account) error {
	table := terms.Programs(f)
	if len(table) == 0 {
		return nil
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(fds[1]), "broker")
	defer theirs.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	start := func(path string) error {
		cmd := exec.Command(path, "broker")
		cmd.Env, cmd.Dir, cmd.ExtraFiles = []string{"GOTRACEBACK=none"}, "/", []*os.File{theirs}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it ends with serve, not with a terminal
		if as != nil && os.Geteuid() == 0 {
			c := &syscall.Credential{Uid: uint32(as.UID), Gid: uint32(as.GID)}
			for _, g := range as.Groups {
				c.Groups = append(c.Groups, uint32(g))
			}
			cmd.SysProcAttr.Credential = c
		}
		return cmd.Start()
	}
	if err = start(self); errors.Is(err, fs.ErrPermission) { // a directory above it is closed to the user
		err = start("/proc/self/exe")
	}
	if err != nil {
		return fmt.Errorf("the process that runs programs: %w", err)
	}
	c, err := connection(fds[0], false)
	if err != nil {
		return err
	}
	defer c.Close() // another descriptor of the same is handed on
	_ = c.SetDeadline(time.Now().Add(brokerStarts))
	if err := command.Brief(c, table); err != nil {
		return fmt.Errorf("the process that runs programs did not begin: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fds[0]), unix.F_SETFD, 0); err != nil {
		return err
	}
	return os.Setenv(brokerVariable, strconv.Itoa(fds[0]))
}

// connection is the one that a descriptor is of, which is closed if it has no other
// use.
func connection(fd int, whole bool) (net.Conn, error) {
	if !whole {
		var err error
		if fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, brokerFile); err != nil {
			return nil, err
		}
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "broker")
	defer f.Close()
	return net.FileConn(f)
}

// findBroker goes on with the one that was started.
func findBroker() error {
	text, ok := os.LookupEnv(brokerVariable)
	if !ok {
		return nil
	}
	_ = os.Unsetenv(brokerVariable)
	fd, err := strconv.Atoi(text)
	if err != nil || fd < brokerFile {
		return fmt.Errorf("%s is for sallyport itself", brokerVariable)
	}
	c, err := connection(fd, true)
	if err == nil {
		broker, err = command.Connect(c)
	}
	if err != nil {
		return fmt.Errorf("the process that runs programs: %w", err)
	}
	return nil
}

// Broker runs programs until who started it ends.
func Broker() error {
	if err := strangers(); err != nil {
		return err
	}
	c, err := connection(brokerFile, true)
	if err != nil {
		return errors.New("it is started by serve")
	}
	unix.Umask(0o077)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	for what, most := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 512, unix.RLIMIT_FSIZE: 64 << 20} {
		if err := syscall.Setrlimit(what, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return err
		}
	}
	if err := confine.DropCapabilities(confine.AllThreads); err != nil {
		return err
	}
	return command.Broke(c)
}

// strangers closes what was inherited beside the connection: sockets of a service
// manager, which are serve's.
func strangers() error {
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range es {
		fd, err := strconv.Atoi(filepath.Base(e.Name()))
		if err != nil || fd <= brokerFile {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}
