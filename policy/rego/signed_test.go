package rego_test

import (
	"errors"
	"strings"
	"testing"

	"sallyport/origin/bundles"
	"sallyport/policy/rego"
)

// Where a key is given nothing is taken but what it signed, as it was signed.
func TestSignedBundles(t *testing.T) {
	key, other := bundles.NewKey(), bundles.NewKey()
	files := bundles.Files{"a.rego": letAll, "hosts/data.json": `{"a": [1]}`, ".manifest": manifest("")}
	signed := key.Sign(files, "ours", "")
	verifier := func(text, id, scope string) *rego.Verifier {
		v, err := rego.NewVerifier(text, id, "ES256", scope)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	ours := verifier(key.Public, "", "")
	for name, c := range map[string]struct {
		files bundles.Files
		by    *rego.Verifier
		want  string // "" is taken
	}{
		"as it is":                   {signed, ours, ""},
		"by either of two keys":      {signed, verifier(other.Public+key.Public, "", ""), ""},
		"written otherwise":          {signed.With("hosts/data.json", "{\n \"a\":[1]}"), ours, ""},
		"by the id":                  {signed, verifier(key.Public, "ours", ""), ""},
		"without keys":               {signed, nil, ""},
		"of a scope":                 {key.Sign(files, "ours", "write"), verifier(key.Public, "", "write"), ""},
		"of another scope":           {key.Sign(files, "ours", "read"), verifier(key.Public, "", "write"), "scope mismatch"},
		"of a scope that none wants": {key.Sign(files, "ours", "read"), ours, "scope mismatch"},
		"of no scope":                {signed, verifier(key.Public, "", "write"), "scope mismatch"},
		"of another id":              {signed, verifier(key.Public, "theirs", ""), "verification key corresponding to ID ours not found"},
		"unsigned":                   {files, ours, "there is no .signatures.json in it"},
		"by another":                 {other.Sign(files, "ours", ""), ours, "failed to verify JWT signature"},
		"a changed rule":             {signed.With("a.rego", letAll+"\n"), ours, "a.rego: digest mismatch"},
		"changed data":               {signed.With("hosts/data.json", `{"a": [2]}`), ours, "hosts/data.json: digest mismatch"},
		"another revision":           {signed.With(".manifest", `{"revision": "8", "roots": [""]}`), ours, ".manifest: digest mismatch"},
		"a file more":                {signed.With("b.rego", "package egress\n\nwebsocket := true\n"), ours, "file b.rego not included in bundle signature"},
		"a file less":                {signed.With("hosts/data.json", ""), ours, "files that are signed are missing: hosts/data.json"},
		"no manifest":                {signed.With(".manifest", ""), ours, "files that are signed are missing: .manifest"},
		"no signature in it":         {files.With(".signatures.json", `{"signatures": []}`), ours, "missing JWT"},
		"an empty signature":         {files.With(".signatures.json", `{}`), ours, "missing JWT"},
		"a plugin":                   {signed.With(".signatures.json", strings.Replace(signed[".signatures.json"], "{", `{"plugin": "x", `, 1)), ours, `the plugin "x" is not known`},
		"no algorithm": {files.With(".signatures.json", `{"signatures": ["eyJhbGciOiJub25lIn0.`+strings.Split(signed[".signatures.json"], ".")[1]+`."]}`), ours,
			"failed to verify JWT signature"},
	} {
		_, err := rego.Load(t.Context(), rego.Options{Name: "web", Archive: c.files.Pack(), Verify: c.by})
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, rego.ErrSignature) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
	if _, err := rego.Load(t.Context(), rego.Options{Name: "web", Dir: t.TempDir(), Verify: ours}); !errors.Is(err, rego.ErrSignature) {
		t.Errorf("a directory: %v", err)
	}
}

// What is no key is told apart, and not repeated.
func TestVerifiers(t *testing.T) {
	key := bundles.NewKey()
	for name, c := range map[string]struct{ text, algorithm, want string }{
		"a key":              {key.Public, "ES256", ""},
		"a secret":           {strings.Repeat("s", 32) + "\n", "HS256", ""},
		"a short secret":     {"secret", "HS256", "at least 32 characters"},
		"nothing":            {"secret", "ES256", "no public key"},
		"no such algorithm":  {key.Public, "none", `the algorithm "none"`},
		"a private key":      {"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "ES256", "name the public key"},
		"a broken key":       {"-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----\n", "ES256", "key 1: "},
		"a key, then no key": {key.Public + "-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----\n", "ES256", "key 2: "},
	} {
		v, err := rego.NewVerifier(c.text, "", c.algorithm, "")
		if c.want == "" && (err != nil || !v.Same(v) || v.Same(nil)) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret\n")) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}
