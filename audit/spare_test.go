package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/audit"
)

// hostile 135: where no descriptor is left records are made durable, and segments are
// begun.
func TestRecordsWithoutDescriptors(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(dir, audit.Options{SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	give := func() {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &was)
		for _, f := range taken {
			_ = f.Close()
		}
		taken = nil
	}
	defer give()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	take := func() {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return
			}
			taken = append(taken, f)
		}
	}
	const records = 200
	for i := range records {
		take()
		if _, err := l.Record(t.Context(), &audit.Event{Name: audit.RequestDecision, Request: &audit.Request{Host: fmt.Sprintf("host-%d.example.com", i)}}); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	give()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(dir, audit.Expect{})
	if err != nil || r.Broken != nil || r.Segments < 10 || r.Records < records {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "next")); err == nil {
		t.Error("the spare is left behind")
	}
}
