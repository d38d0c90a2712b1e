package sidecar

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/confine"
)

// A directory below one that everybody may write is refused, however it is named.
func TestFirmDirectories(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	if err := os.MkdirAll(filepath.Join(open, "a", "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(open, "a", "state"), filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(base)
	for mode, want := range map[os.FileMode]string{0o755: "", 0o777 | os.ModeSticky: "", 0o777: "state: everybody may write the directory " + open} {
		if err := os.Chmod(open, mode); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{filepath.Join(open, "a", "state"), filepath.Join(open, "new"), filepath.Join(base, "link"), "open/a/state"} {
			err := PrepareDirectory("state", dir, 0o700, nil, nil)
			if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v: %s: %v", mode, dir, err)
			}
		}
	}
}

// Root makes the directories of the user that serve becomes, and gives away what is
// empty; what somebody may have put a link into stays whose it is: hostile 212.
func TestDirectoriesChangeHandsOnce(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives directories away")
	}
	base := t.TempDir()
	as := &confine.Account{UID: 23456, GID: 23456}
	at := func(name string) string { return filepath.Join(base, name) }
	for _, d := range []string{"empty", "full", "sockets/enrol", "shared", "users", "mixed"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"full/ca.key", "mixed/file", "users/link"} {
		if err := os.WriteFile(at(f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(at("shared"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(at("users"), 34567, 34567); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("full"), at("link")); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: at("sockets/control.sock")}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		expected func(fs.DirEntry) bool
		owner    int
		want     string
	}{
		"new/below": {nil, 23456, ""},
		"empty":     {nil, 23456, ""},
		"full":      {nil, 0, "is root's and not empty, and serve is to run as user 23456: chown -R 23456:23456 " + at("full")},
		"link":      {nil, 0, "is root's and not empty"},
		"sockets":   {ofSockets, 23456, ""},
		"mixed":     {ofSockets, 0, "is root's and not empty"},
		"shared":    {nil, 0, ""},
		"users":     {nil, 34567, "may not write the directory " + at("users") + ", which is another user's: chown -R 23456:23456 " + at("users")},
	} {
		err := PrepareDirectory("state", at(name), 0o700, as, c.expected)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		st, err := os.Stat(at(name))
		if err != nil || ownerOf(st) != c.owner {
			t.Errorf("%s is user %d's, %v", name, ownerOf(st), err)
		}
	}
	if st, err := os.Stat(at("new")); err != nil || ownerOf(st) != 0 || st.Mode().Perm() != 0o755 {
		t.Errorf("what is above is %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(at("users/link")); err != nil || ownerOf(st) != 0 {
		t.Errorf("a file of somebody else is user %d's, %v", ownerOf(st), err)
	}
}

// ownerOf is whose a file is, or -1.
func ownerOf(st os.FileInfo) int {
	if st == nil {
		return -1
	}
	return int(st.Sys().(*syscall.Stat_t).Uid)
}
