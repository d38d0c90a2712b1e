package netns

import (
	"encoding/json"
	"net"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever is said and whatever comes with it, it is taken or refused, and no
// descriptor stays: hostile 210.
func FuzzOffer(f *testing.F) {
	good, err := json.Marshal(offer{Token: "x", TCP: 2, Explicit: 2, DNS: 2, DNSTCP: 2, Log: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, unix.UnixRights(3, 4, 5), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte(`{"token":"x","TCP":1,"DNS":1,"DNSTCP":1,"Log":1}`), unix.UnixRights(), []byte{0, 4, 0, 5})
	f.Add([]byte(`{"TCP":1,"DNS":1,"DNSTCP":1,"Log":1}}`), []byte{16, 0, 0, 0, 0, 0, 0, 0, 1}, []byte{})
	f.Add([]byte("{}"), append(unix.UnixRights(7), unix.UnixRights(8, 9)...), []byte{255})
	var menu []int
	add := func(fd int, err error) {
		if err != nil {
			f.Fatal(err)
		}
		menu = append(menu, fd)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		f.Fatal(err)
	}
	add(int(file.Fd()), nil)
	add(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0))
	add(unix.Eventfd(0, unix.EFD_CLOEXEC))
	add(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	add(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
	add(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER))
	add(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	f.Cleanup(func() { closeAll(menu[1:]); _ = file.Close(); _ = listener.Close() })
	f.Fuzz(func(t *testing.T, text, oob, kinds []byte) {
		if o, err := parseOffer(text); err == nil {
			if n := o.TCP + o.Explicit + o.DNS + o.DNSTCP + o.Log; n < 4 || n > maxOffered || o.TCP < 1 || o.Log != 1 {
				t.Errorf("%s is taken as %+v", text, o)
			}
			again, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := parseOffer(again); err != nil || p != o {
				t.Errorf("%s is %+v, and again %+v, %v", text, o, p, err)
			}
			if !json.Valid(text) {
				t.Errorf("%q is taken, and is no JSON", text)
			}
		}
		if fds, err := rights(oob); len(fds) > len(oob)/4 {
			t.Errorf("%d descriptors in %d bytes", len(fds), len(oob))
		} else if err == nil && len(fds) > 0 {
			if again, err := rights(unix.UnixRights(fds...)); err != nil || !reflect.DeepEqual(again, fds) {
				t.Errorf("%v, and again %v, %v", fds, again, err)
			}
		}
		if len(text) > 64<<10 || len(kinds) > 200 {
			return
		}
		var fds []int
		for _, k := range kinds {
			fds = append(fds, menu[int(k)%len(menu)])
		}
		before := open(t)
		s, asked, err := sendOffer(t, text, fds)
		if s != nil || asked != 0 || err == nil { // all of these are of our own namespace
			t.Errorf("%q with %v is taken", text, kinds)
		}
		if now := open(t); now != before {
			t.Errorf("%d descriptors are open, %d were", now, before)
		}
	})
}
