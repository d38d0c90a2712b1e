package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/origin/world"
)

// A passage is a block of a page: a file to write, or commands with what they print.
type passage struct {
	line     int
	language string
	file     string // named at the end of the text before it
	text     string
}

var namesFile = regexp.MustCompile("`([a-z0-9_./-]+\\.(?:rego|json|yaml))`[^`]*:$")

// passages are the blocks of a page, in order.
func passages(t *testing.T, page string) (out []passage) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var open *passage
	said := ""
	for i, line := range strings.Split(string(b), "\n") {
		fence, fenced := strings.CutPrefix(line, "```")
		switch {
		case fenced && open == nil:
			open = &passage{line: i + 1, language: fence}
			if m := namesFile.FindStringSubmatch(said); m != nil {
				open.file = m[1]
			}
		case fenced:
			out = append(out, *open)
			open, said = nil, ""
		case open != nil:
			open.text += line + "\n"
		case line != "":
			said = line
		}
	}
	return out
}

// A step is one command of a console and what it is to print.
type step struct{ command, want string }

// steps takes a console apart: "$ " begins a command, "> " goes on with it.
func steps(text string) (out []step) {
	for line := range strings.Lines(text) {
		if c, ok := strings.CutPrefix(line, "$ "); ok {
			out = append(out, step{command: c})
			continue
		}
		last := &out[len(out)-1]
		if c, ok := strings.CutPrefix(line, "> "); ok && last.want == "" {
			last.command += c
			continue
		}
		last.want += line
	}
	return out
}

// like is the pattern of what is to be printed: … is anything within a line, and a
// line of its own any lines.
func like(want string) *regexp.Regexp {
	p := "^"
	for line := range strings.Lines(want) {
		if line == "…\n" {
			p += `(?:.*\n)*?`
			continue
		}
		p += strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*?")
	}
	return regexp.MustCompile(p + "$")
}

// A terminal is a shell that lives as long as the page.
type terminal struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newTerminal(t *testing.T, dir string) *terminal {
	t.Helper()
	cmd := exec.Command("/bin/bash", "--norc")
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + filepath.Dir(binary) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	_ = r.SetReadDeadline(time.Now().Add(2 * time.Minute))
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = in.Close()
		_ = cmd.Wait()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = r.Close()
	})
	return &terminal{t, in, bufio.NewReader(r)}
}

// run gives the shell a command, and returns what it printed.
func (x *terminal) run(command string) string {
	x.t.Helper()
	const end = "----end of this command----"
	_, _ = fmt.Fprintf(x.in, "%s\necho '%s'\n", strings.TrimSuffix(command, "\n"), end)
	out := ""
	for {
		line, err := x.out.ReadString('\n')
		if before, over := strings.CutSuffix(line, end+"\n"); over {
			if before != "" {
				out += before + "\n"
			}
			return out
		}
		out += line
		if err != nil {
			x.t.Fatalf("%s: %v\n%s", command, err, out[max(0, len(out)-1000):])
		}
	}
}

// Whoever does what docs/policy.md says sees what it says.
func TestPolicyGuide(t *testing.T) {
	tool(t, "openssl", "openssl")
	page, err := filepath.Abs("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	dir := t.TempDir()
	for at := dir; at != os.TempDir(); at = filepath.Dir(at) {
		_ = os.Chmod(at, 0o755)
	}
	x := newTerminal(t, dir)
	files, commands := 0, 0
	for _, p := range passages(t, page) {
		switch {
		case p.language == "console":
			for _, s := range steps(p.text) {
				commands++
				if got := x.run(s.command); !like(s.want).MatchString(got) {
					t.Errorf("line %d: $ %swants\n%sand prints\n%s", p.line, s.command, s.want, got)
				}
			}
		case p.file != "":
			files++
			to := filepath.Join(dir, p.file)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, []byte(p.text), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("line %d: nobody runs this block of %s: name its file in the line before", p.line, p.language)
		}
	}
	if files < 4 || commands < 15 {
		t.Errorf("%d files and %d commands were read", files, commands)
	}
}
