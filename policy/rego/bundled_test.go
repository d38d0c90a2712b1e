package rego_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin/bundles"
	"sallyport/policy/rego"
)

const letAll = "package egress\n\nallow := true\n"

func manifest(more string) string { return `{"revision": "7", "roots": [""]` + more + "}" }

// What a bundle may be, and what it is refused for.
func TestBundles(t *testing.T) {
	good := bundles.Files{"a.rego": letAll, ".manifest": manifest("")}
	link := func(kind byte) []byte {
		return bundles.PackAs(good, tar.Header{Typeflag: tar.TypeReg, Name: "a.rego", Size: int64(len(letAll))}, tar.Header{Typeflag: kind, Name: "b.rego", Linkname: "/etc/passwd"})
	}
	named := func(names ...string) []byte {
		var hs []tar.Header
		for _, n := range names {
			hs = append(hs, tar.Header{Typeflag: tar.TypeReg, Name: n, Size: int64(len(letAll))})
		}
		f := bundles.Files{}
		for _, n := range names {
			f[strings.TrimPrefix(n, "/")] = letAll
		}
		return bundles.PackAs(f, hs...)
	}
	whole := good.Pack()
	for name, c := range map[string]struct {
		archive []byte
		want    string // "" is taken
	}{
		"as it is":                 {whole, ""},
		"with data":                {good.With("hosts/data.json", `{"a": 1}`).With("x/data.yaml", "b: 1").Pack(), ""},
		"with tests":               {good.With("a_test.rego", "package egress_test\n\ntest_a := 1 == 2\n").Pack(), ""},
		"with other files":         {good.With("README.md", "hello").With("schema/input.json", "{}").Pack(), ""},
		"without a manifest":       {good.With(".manifest", "").Pack(), ""},
		"names with dots":          {named("./a.rego"), ""},
		"a global header":          {bundles.PackAs(good, tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "x", PAXRecords: map[string]string{"comment": "git"}}, tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755}, tar.Header{Typeflag: tar.TypeReg, Name: "a.rego", Size: int64(len(letAll))}), ""},
		"nothing":                  {nil, "it is no bundle"},
		"a page of HTML":           {[]byte("<html>not here</html>"), "it is no bundle"},
		"cut":                      {whole[:len(whole)/2], "it is no bundle"},
		"cut in its checksum":      {whole[:len(whole)-4], "it is no bundle"},
		"a wrong checksum":         {append(bytes.Clone(whole[:len(whole)-8]), make([]byte, 8)...), "it is no bundle"},
		"another behind it":        {append(bytes.Clone(whole), whole...), "something is behind its end"},
		"too large":                {good.With("data.json", `{"a": "`+strings.Repeat("a", 2<<20)+`"}`).Pack(), "larger than 1048576 bytes"},
		"a bomb":                   {bomb(t, 64<<20), "larger than 1048576 bytes"},
		"a link":                   {link(tar.TypeSymlink), "no regular file"},
		"a hard link":              {link(tar.TypeLink), "no regular file"},
		"a device":                 {link(tar.TypeChar), "no regular file"},
		"a file twice":             {named("a.rego", "/a.rego"), "it is there twice"},
		"a way out":                {named("a.rego", "../b.rego"), "its name leads elsewhere"},
		"a way out, inside":        {named("a.rego", "x/../../b.rego"), "its name leads elsewhere"},
		"backslashes":              {named("a.rego", `x\b.rego`), "not named as a file"},
		"upper case":               {named("a.rego", "b.REGO"), "end in .rego, in lower case"},
		"a delta":                  {bundles.Files{"patch.json": `{"data": []}`, ".manifest": manifest("")}.Pack(), "it is of a delta"},
		"a delta beside the whole": {good.With("x/patch.json", "{}").Pack(), "it is of a delta"},
		"wasm":                     {good.With("policy.wasm", "\x00asm").Pack(), "compiled already"},
		"a plan":                   {good.With("plan.json", "{}").Pack(), "compiled already"},
		"a manifest below":         {good.With("x/.manifest", manifest("")).Pack(), "its place is at the top"},
		"a manifest in protobuf":   {good.With(".manifest", "").With(".manifest.pb", "x").Pack(), "only a manifest in JSON"},
		"beyond its roots":         {good.With(".manifest", `{"revision": "7", "roots": ["lib"]}`).Pack(), "manifest roots [lib] do not permit 'package egress'"},
		"data beyond its roots":    {good.With(".manifest", `{"roots": ["egress"]}`).With("hosts/data.json", `{"a": 1}`).Pack(), "do not permit data at path '/hosts"},
		"old Rego":                 {good.With(".manifest", manifest(`, "rego_version": 0`)).Pack(), "write Rego v1"},
		"old Rego in a file":       {good.With(".manifest", manifest(`, "file_rego_versions": {"/a.rego": 0}`)).Pack(), "write Rego v1"},
		"a revision of controls":   {good.With(".manifest", `{"revision": "a\nb"}`).Pack(), "visible ASCII"},
		"a sequence of text":       {good.With(".manifest", manifest(`, "metadata": {"sallyport": {"sequence": "7"}}`)).Pack(), "with a whole number"},
		"a negative sequence":      {good.With(".manifest", manifest(`, "metadata": {"sallyport": {"sequence": -7}}`)).Pack(), "with a whole number"},
		"something else of ours":   {good.With(".manifest", manifest(`, "metadata": {"sallyport": {"sequence": 7, "x": 1}}`)).Pack(), "and nothing else"},
		"data of ours":             {good.With("sallyport/data.json", `{"a": 1}`).Pack(), "data.sallyport is reserved"},
		"a package of ours":        {good.With("s.rego", "package sallyport.egress\n\nx := 1\n").Pack(), "package data.sallyport.egress is reserved"},
		"an annotation":            {good.With("a.rego", "# METADATA\n# schemas:\n#   - input: {type: object}\npackage egress\n\nallow := true\n").Pack(), "schemas are given by sallyport"},
		"data that is none":        {good.With("x/data.json", `{"a": `).Pack(), "x/data.json"},
		"data that is a rule":      {good.With("egress/data.json", `{"allow": true}`).Pack(), "conflicting rule for data path egress/allow"},
		"no rules":                 {bundles.Files{".manifest": manifest("")}.Pack(), "there is no rule in package egress"},
		"a mistake":                {good.With("x/b.rego", "package egress\n\nallow if input.request.metod == \"GET\"\n").Pack(), "policy.tar.gz/x/b.rego:3:10: there is no input.request.metod"},
		"no Rego":                  {good.With("x/b.rego", "package egress\n\nallow if }\n").Pack(), "policy.tar.gz/x/b.rego:3:10"},
	} {
		file := filepath.Join(t.TempDir(), "policy.tar.gz")
		if err := os.WriteFile(file, c.archive, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := rego.Load(t.Context(), rego.Options{Name: "web", Dir: file, MaxBytes: 1 << 20})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		case c.want != "" && name != "no rules" && !strings.Contains(err.Error(), "policy.tar.gz"):
			t.Errorf("%s: no place: %v", name, err)
		case name == "as it is" && p.Revision() != "7":
			t.Errorf("revision %q", p.Revision())
		}
	}
}

// bomb is a bundle that is small as long as it is packed.
func bomb(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "data.json", Size: size}); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<16)
	for n := int64(0); n < size; n += int64(len(zeros)) {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A bundle and the directory that it was made of are the same policy.
func TestBundleIsItsDirectory(t *testing.T) {
	files := bundles.Files{"a.rego": letAll, "lib/b.rego": "package lib\n\nhosts := {\"a\"}\n", "hosts/data.json": `{"b": [1, 2]}`}
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a, err := rego.Load(t.Context(), rego.Options{Name: "a", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err := rego.Load(t.Context(), rego.Options{Name: "b", Archive: files.With(".manifest", manifest(`, "metadata": {"sallyport": {"sequence": 41}}`)).Pack()})
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest() != b.Digest() || a.Revision() != "" || b.Revision() != "7" {
		t.Errorf("%s and %s, revisions %q and %q", a.Digest(), b.Digest(), a.Revision(), b.Revision())
	}
	if n, ok := b.Sequence(); n != 41 || !ok {
		t.Errorf("sequence %d, %v", n, ok)
	}
	if _, ok := a.Sequence(); ok {
		t.Error("a directory has a sequence")
	}
}
