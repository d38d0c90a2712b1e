package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// clientsOrigin is a place that git, npm and the rest fetch from.
func clientsOrigin(t *testing.T) http.Handler {
	t.Helper()
	tool(t, "git", "git")
	root := t.TempDir()
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "work"},
		{"-C", "work", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "one"},
		{"clone", "-q", "--bare", "work", "repo.git"},
		{"-C", "repo.git", "config", "http.receivepack", "true"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s%v", args, out, err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/repo.git/", &cgi.Handler{Path: "/usr/lib/git-core/git-http-backend", Dir: root,
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}})
	tgz := npmPackage(t)
	sum := sha512.Sum512(tgz)
	mux.HandleFunc("/left-pad", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "left-pad", "dist-tags": map[string]string{"latest": "1.0.0"}, "versions": map[string]any{"1.0.0": map[string]any{
			"name": "left-pad", "version": "1.0.0", "dist": map[string]string{"tarball": "https://" + r.Host + "/left-pad.tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}}}})
	})
	mux.HandleFunc("/left-pad.tgz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(tgz) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s %s %s", r.Proto, r.Method, r.URL.Path)
	})
	return mux
}

func npmPackage(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"package/package.json": `{"name":"left-pad","version":"1.0.0","main":"i.js"}`, "package/i.js": "module.exports = s => ' ' + s\n"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(text))
	}
	_, _ = w.Close(), z.Close()
	return b.Bytes()
}

const goClient = `package main

import ("fmt"; "io"; "net/http"; "os")

func main() {
	for _, u := range os.Args[1:] {
		r, err := http.Get(u)
		if err != nil { fmt.Println(err); continue }
		b, _ := io.ReadAll(r.Body)
		fmt.Println(r.Proto, r.StatusCode, string(b))
	}
}
`

const javaClient = `import java.net.URI; import java.net.http.*;

class Get {
	public static void main(String[] args) throws Exception {
		System.out.println(HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(args[0])).build(), HttpResponse.BodyHandlers.ofString()).body());
	}
}
`

// buildGoClient returns the path of the compiled one.
func buildGoClient(t *testing.T) string {
	t.Helper()
	client := filepath.Join(filepath.Dir(binary), "goclient")
	if err := os.WriteFile(client+".go", []byte(goClient), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", client, client+".go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	return client
}

// clients puts Get.java and goclient into the working directory.
func (p *place) clients(goClient string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "Get.java"), []byte(javaClient), 0o644); err != nil {
		p.t.Fatal(err)
	}
	b, err := os.ReadFile(goClient)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "goclient"), b, 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// Clients as they are, allowed and refused; a refusal is understood from what
// the client itself writes.
func TestClients(t *testing.T) {
	for name, pkg := range map[string]string{"curl": "curl", "node": "nodejs", "npm": "npm", "python3": "python3", "javac": "default-jdk-headless", "chromium": "chromium"} {
		tool(t, name, pkg)
	}
	client := buildGoClient(t)
	h := clientsOrigin(t)
	each(t, origin.Options{Handler: h}, func(t *testing.T, p *place) {
		ok, no := p.https("api.example.com", ""), p.https("other.example.com", "")
		const refused = "sallyport: default_deny: no rule allows this"
		for name, c := range map[string]struct {
			script  string
			allowed string // in what the client writes
			refused string
		}{
			"curl h1":  {"curl -sS --http1.1 $U/x", "hello HTTP/", refused},
			"curl h2":  {"curl -sS --http2 $U/x", "hello HTTP/", refused},
			"git":      {"rm -rf r; git clone -q $U/repo.git r; git -C r log --oneline", "one", "remote: " + refused},
			"git push": {"rm -rf s; git init -q s; cd s; git -c user.name=t -c user.email=t@example.com commit -q --allow-empty -m two; git push -q $U/repo.git +HEAD:two" + " && echo pushed", "pushed", "remote: " + refused},
			"npm":      {"rm -rf n; mkdir n; cd n; echo '{}' > package.json; npm install --no-audit --no-fund --registry $U/ left-pad; node -e \"console.log(require('left-pad')('padded'))\"", " padded", refused},
			"python":   {"/usr/bin/python3 -c \"import urllib.request as u, urllib.error\ntry: print(u.urlopen('$U/x').read().decode())\nexcept urllib.error.HTTPError as e: print(e.read().decode())\"", "hello HTTP/", refused},
			"node":     {"node -e \"fetch('$U/x').then(r => r.text()).then(console.log)\"", "hello HTTP/", refused},
			"go":       {"./goclient $U/x", "hello HTTP/", refused},
			"java":     {"java -XX:+UseSerialGC Get.java $U/x", "hello HTTP/", refused},
			"chromium": {"chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync --dump-dom $U/x", "hello HTTP/", refused},
		} {
			t.Run(name, func(t *testing.T) {
				p.t = t
				p.clients(client)
				for u, want := range map[string]string{ok: c.allowed, no: c.refused} {
					out := p.sh([]string{"--allow", p.at("api.example.com"), "--env", "U=" + u}, c.script)
					if !strings.Contains(out.stdout+out.stderr, want) {
						t.Errorf("%s: %q is not in\n%s%s", u, want, out.stdout, out.stderr)
					}
				}
			})
		}
		p.t = t
		p.verified()
	})
}
