package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // npm's own name of a tarball
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport/origin"
	"sallyport/origin/world"
	"sallyport/policies"
)

// A hub is GitHub, npm's registry and PyPI, as far as their clients notice.
type hub struct {
	git  http.Handler
	mu   sync.Mutex
	seen []string // METHOD HOST PATH
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.seen = append(h.seen, r.Method+" "+r.Host+r.URL.RequestURI())
	h.mu.Unlock()
	var tgz, whl bytes.Buffer
	z := gzip.NewWriter(&tgz)
	a := tar.NewWriter(z)
	manifest := `{"name": "left-pad", "version": "1.0.0", "main": "index.js"}`
	for name, text := range map[string]string{"package/package.json": manifest, "package/index.js": "module.exports = 'padded'\n"} {
		_ = a.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		_, _ = io.WriteString(a, text)
	}
	_, _ = a.Close(), z.Close()
	wheel := zip.NewWriter(&whl)
	for _, f := range [][2]string{{"demo.py", "word = 'fetched'\n"}, {"demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"},
		{"demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}, {"demo-1.0.dist-info/RECORD", "demo.py,,\n"}} {
		p, _ := wheel.Create(f[0])
		_, _ = io.WriteString(p, f[1])
	}
	_ = wheel.Close()
	switch {
	case r.Host == "github.com":
		h.git.ServeHTTP(w, r)
	case r.Host == "registry.npmjs.org" && r.URL.Path == "/left-pad":
		sum := sha1.Sum(tgz.Bytes()) //nolint:gosec // as above
		fmt.Fprintf(w, `{"name": "left-pad", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": "left-pad", "version": "1.0.0", "dist": {"shasum": %q, "tarball": "https://registry.npmjs.org/left-pad/-/left-pad-1.0.0.tgz"}}}}`, hex.EncodeToString(sum[:]))
	case r.Host == "registry.npmjs.org" && strings.HasSuffix(r.URL.Path, ".tgz"):
		_, _ = w.Write(tgz.Bytes())
	case r.Host == "pypi.org" && r.URL.Path == "/simple/demo/":
		sum := sha256.Sum256(whl.Bytes())
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><html><body><a href="https://files.pythonhosted.org/packages/demo-1.0-py3-none-any.whl#sha256=%s">demo-1.0-py3-none-any.whl</a></body></html>`, hex.EncodeToString(sum[:]))
	case r.Host == "files.pythonhosted.org":
		_, _ = w.Write(whl.Bytes())
	default:
		_, _ = io.WriteString(w, "ok\n")
	}
}

// has reports whether some request contained a text.
func (h *hub) has(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.seen, func(s string) bool { return strings.Contains(s, text) })
}

// What ecosystems' own clients ask passes with their presets, and what would publish
// or push does not arrive.
func TestPresets(t *testing.T) {
	tool(t, "git", "git")
	tool(t, "npm", "npm")
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	root := t.TempDir()
	_ = os.Chmod(root, 0o755)
	sh(t, root, "git init -q --bare -b main ours/app.git && git -C ours/app.git config http.receivepack true && git init -q -b main w && cd w && git config user.email a@example.com && git config user.name a && echo hello > README && git add README && git commit -qm one && git push -q ../ours/app.git main")
	h := &hub{git: &cgi.Handler{Path: "/usr/lib/git-core/git-http-backend", Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}}
	p := newPlace(t, callers()[len(callers())-1], origin.Options{Handler: h, TLSPort: 443})
	with := func(script string, flags ...string) output {
		args := []string{"run", "--audit", p.log, "--allow-private", "127.0.0.0/8", "--upstream-ca", p.ca}
		for _, host := range []string{"github.com", "registry.npmjs.org", "pypi.org", "files.pythonhosted.org", "upload.pypi.org"} {
			args = append(args, "--resolve", host+"=127.0.0.1")
		}
		return p.exec(append(append(args, flags...), "--", "/bin/sh", "-c", "set -e\nexport npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false\n"+script)...)
	}
	const work = "job"
	out := with(fmt.Sprintf(`mkdir %[1]s; cd %[1]s
git clone -q https://github.com/ours/app.git
cat app/README
npm install --silent left-pad >/dev/null
node -p "require('left-pad')"
/usr/bin/python3 -m pip install -q --disable-pip-version-check --no-cache-dir --target py demo
PYTHONPATH=py /usr/bin/python3 -c 'import demo; print(demo.word)'`, work), "--preset", "npm,pypi", "--preset", "git")
	if out.code != 0 || out.stdout != "hello\npadded\nfetched\n" {
		t.Fatalf("%+v", out)
	}
	push := fmt.Sprintf("cd %s/app; git -c user.email=a@example.com -c user.name=a commit -q --allow-empty -m two; git push -q origin HEAD:%s 2>&1", work, work)
	if out = with(push, "--preset", "git"); out.code == 0 || !strings.Contains(out.stdout, "403") || h.has("git-receive-pack") {
		t.Errorf("a push: %+v", out)
	}
	publish := fmt.Sprintf("cd %s; mkdir -p pkg; cd pkg; echo '{\"name\": \"left-pad\", \"version\": \"2.0.0\"}' > package.json; npm publish --//registry.npmjs.org/:_authToken=x 2>&1; echo not reached", work)
	if out = with(publish, "--preset", "npm"); out.code == 0 || h.has("PUT ") || strings.Contains(out.stdout, "not reached") {
		t.Errorf("publishing: %+v", out)
	}
	if out = with("curl -sS https://pypi.org/manage/ https://github.com/ours/app https://registry.npmjs.org/-/whoami", "--preset", "npm,pypi,git"); strings.Count(out.stdout, "default_deny") != 3 {
		t.Errorf("beside it: %+v", out)
	}
	if out = with(push, "--allow", "github.com"); out.code != 0 || !h.has("git-receive-pack") {
		t.Errorf("a push that is allowed: %+v", out)
	}
	for flags, want := range map[string]string{
		"--preset npn":                     `--preset "npn": expected alpine, anthropic,`,
		"--preset npm --policy .":          "import data.sallyport.presets.npm",
		"--preset npm --mode sealed":       "--preset has no place in it",
		"--preset npm --sidecar /run/none": "--preset: with --sidecar that is said in the sidecar's configuration",
	} {
		if out := p.exec(append(append([]string{"run"}, strings.Fields(flags)...), "--", "true")...); out.code != codeFailed || !strings.Contains(out.stderr, want) {
			t.Errorf("%s: %+v", flags, out)
		}
	}
}

func sh(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// Each preset that run offers is taken, and grants something.
func TestEachPreset(t *testing.T) {
	for _, name := range policies.Presets() {
		o := &runOptions{presets: []string{name}}
		p, err := loadPolicy(t.Context(), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d, err := loadPolicy(t.Context(), &runOptions{}); err != nil || d.Digest() == p.Digest() {
			t.Errorf("%s: nothing is added: %v", name, err)
		}
	}
	if n := len(policies.Presets()); n < 15 {
		t.Errorf("%d presets", n)
	}
	if _, err := policies.WithPresets([]string{"none"}); err == nil {
		t.Error("there is no such preset")
	}
}
