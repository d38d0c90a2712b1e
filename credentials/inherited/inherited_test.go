package inherited

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/credentials"
)

// given is a descriptor as an execution leaves it.
func given(t *testing.T, text string, pipe bool) string {
	t.Helper()
	var fd int
	if pipe {
		var p [2]int
		if err := unix.Pipe2(p[:], 0); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(p[1], []byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(p[1])
		fd = p[0]
	} else {
		var err error
		if fd, err = unix.MemfdCreate("secret", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Pwrite(fd, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	numbers++ // a number is never another's
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, numbers)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	return strconv.Itoa(n)
}

var numbers = 100

func TestInherited(t *testing.T) {
	for _, pipe := range []bool{true, false} {
		n := given(t, "a-secret-of-it\n", pipe)
		for range 2 { // a configuration is read again
			s, err := New(n, credentials.NewSecret)
			if err != nil {
				t.Fatal(err)
			}
			v, err := s.Fetch(t.Context(), nil)
			if want, _ := credentials.NewSecret([]byte("a-secret-of-it")); err != nil || !v.Secret.Equal(want) || s.String() != "fd:"+n {
				t.Errorf("%s: %v", s, err)
			}
		}
		fd, _ := strconv.Atoi(n)
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			t.Error("it stays open")
		}
	}
	r, _, err := os.Pipe() // of this program's own
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sock, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]string{"0": "from 3 on", "2": "from 3 on", "-1": "from 3 on", "x": "from 3 on", "03": "from 3 on", "4000": "not started with it",
		strconv.Itoa(int(r.Fd())): "not started with it", strconv.Itoa(sock[0]): "neither a file nor a pipe", given(t, "hush", false): "shorter than", given(t, strings.Repeat("x", maxSize+1), false): "more than"} {
		if s, err := New(n, credentials.NewSecret); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v %v", n, s, err)
		}
	}
}
