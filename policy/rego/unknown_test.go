package rego

import (
	"os"
	"path/filepath"
	"testing"
)

// A field that does not exist is named, with those that do.
func TestUnknownField(t *testing.T) {
	for text, want := range map[string]string{
		"input.requst.host == \"x\"":          "2:12: there is no input.requst (did you mean request?); known in input are destination, request, sandbox",
		"input.destination.hostname == \"x\"": "2:12: there is no input.destination.hostname; known in input.destination are authority, host, host_suffixes, port, protocol, registered_domain, scheme",
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "p.rego")
		if err := os.WriteFile(file, []byte("package egress\nallow if { "+text+" }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := Check(dir)
		if len(got) != 1 || got[0].String() != file+":"+want {
			t.Errorf("%s\n got %v\nwant %s", text, got, want)
		}
	}
}
