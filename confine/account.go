package confine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Account is a user that a process can become.
type Account struct {
	Name     string // "" has none
	UID, GID int
	Groups   []int // supplementary
}

// LookUp returns the account of a user name or number, by /etc/passwd and
// /etc/group. A number that is not listed there is its own group. Root is none.
func LookUp(who string) (*Account, error) {
	passwd, err := os.Open("/etc/passwd")
	if errors.Is(err, os.ErrNotExist) {
		return lookUp(who, strings.NewReader(""), strings.NewReader(""))
	}
	if err != nil {
		return nil, err
	}
	defer passwd.Close()
	group, err := os.Open("/etc/group")
	if errors.Is(err, os.ErrNotExist) {
		return lookUp(who, passwd, strings.NewReader(""))
	}
	if err != nil {
		return nil, err
	}
	defer group.Close()
	return lookUp(who, passwd, group)
}

func lookUp(who string, passwd, group io.Reader) (*Account, error) {
	a, err := entry(who, passwd)
	if err != nil {
		return nil, err
	}
	if a.UID == 0 {
		return nil, fmt.Errorf("%s is root: name a user that has no privilege", who)
	}
	if a.Name == "" {
		return a, nil
	}
	lines := bufio.NewScanner(group)
	for lines.Scan() { // name:password:gid:members
		f := strings.Split(lines.Text(), ":")
		if len(f) != 4 || !slices.Contains(strings.Split(f[3], ","), a.Name) {
			continue
		}
		if g, err := ID(f[2]); err == nil && g != a.GID {
			a.Groups = append(a.Groups, g)
		}
	}
	return a, lines.Err()
}

// entry is the line of a user: name:password:uid:gid:…
func entry(who string, passwd io.Reader) (*Account, error) {
	number, notNumber := ID(who)
	lines := bufio.NewScanner(passwd)
	for lines.Scan() {
		f := strings.Split(lines.Text(), ":")
		if len(f) < 4 {
			continue
		}
		uid, err := ID(f[2])
		gid, gerr := ID(f[3])
		if err != nil || gerr != nil {
			continue
		}
		if f[0] == who || notNumber == nil && uid == number {
			return &Account{Name: f[0], UID: uid, GID: gid}, nil
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if notNumber != nil {
		return nil, fmt.Errorf("there is no user %q in /etc/passwd", who)
	}
	return &Account{UID: number, GID: number}, nil
}

// ID reads the number of a user or group, of 32 bits. The last of all stands for none.
func ID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// become makes this thread the account's. Its capabilities go with that.
func (a *Account) become() error {
	if a == nil {
		return nil
	}
	if os.Getuid() == a.UID && os.Geteuid() == a.UID {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("only root can become user %d", a.UID)
	}
	groups := make([]uint32, len(a.Groups), len(a.Groups)+1) // never without an address
	for i, g := range a.Groups {
		groups[i] = uint32(g)
	}
	for _, c := range []struct {
		what       string
		nr         uintptr
		a1, a2, a3 uintptr
	}{
		{"setgroups", unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0},
		{"setresgid", unix.SYS_SETRESGID, uintptr(a.GID), uintptr(a.GID), uintptr(a.GID)},
		{"setresuid", unix.SYS_SETRESUID, uintptr(a.UID), uintptr(a.UID), uintptr(a.UID)},
	} {
		if _, _, e := syscall.RawSyscall(c.nr, c.a1, c.a2, c.a3); e != 0 {
			return fmt.Errorf("becoming user %d: %s: %w (it needs SETUID and SETGID)", a.UID, c.what, e)
		}
	}
	return nil
}
