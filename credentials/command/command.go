// Package command takes secrets from programs that print them.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sallyport/credentials"
)

// A Spec is a program and how it is asked.
type Spec struct {
	Protocol Protocol          `json:"protocol"`
	Args     []string          `json:"args"`           // the first is its absolute path
	Env      map[string]string `json:"env,omitempty"`  // all of its environment
	Host     string            `json:"host,omitempty"` // that a secret is asked for, where the protocol says one
	Timeout  time.Duration     `json:"timeout"`        // after which it and what it started are killed; 0 means 10 s
}

const (
	usualTimeout = 10 * time.Second
	maxTimeout   = 5 * time.Minute
	maxOutput    = 64 << 10
)

// key is the same text for the same Spec.
func (s Spec) key() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // it is made of texts
	}
	return string(b)
}

// Usual is the Spec with what is usual where nothing is said.
func (s Spec) Usual() Spec {
	if s.Timeout == 0 {
		s.Timeout = usualTimeout
	}
	return s
}

// An Output is how a run ended.
type Output struct {
	Code   int    `json:"code"`             // -1 when it did not end by itself
	Stdout []byte `json:"stdout,omitempty"` // at most 64 KiB
	Stderr int    `json:"stderr"`           // how much it said there, which nobody reads
	Failed string `json:"failed,omitempty"` // why there is no output, in words of ours
}

// A Runner runs programs.
type Runner interface {
	Run(context.Context, Spec) (Output, error)
	// Knows reports whether it runs this one.
	Knows(Spec) bool
}

// A Source is one program. It is safe for concurrent use.
type Source struct {
	spec Spec
	run  Runner
}

var _ credentials.Source = (*Source)(nil)

// New checks what is said of a program, which runs as the user uid. It is not run.
func New(s Spec, run Runner, uid int) (*Source, error) {
	s = s.Usual()
	if err := s.check(uid); err != nil {
		return nil, err
	}
	if !run.Knows(s) {
		return nil, errors.New("serve runs only programs that its configuration named at its start: restart it")
	}
	return &Source{s, run}, nil
}

func (s Spec) check(uid int) error {
	p := protocols[s.Protocol]
	switch {
	case p.read == nil:
		return fmt.Errorf("protocol %q: expected exec_credential, aws_process, git, docker or raw", s.Protocol)
	case len(s.Args) == 0 || !filepath.IsAbs(s.Args[0]):
		return errors.New("a program is named by its absolute path: it is not looked for")
	case p.host && s.Host == "":
		return errors.New("host is missing: for whom the program is asked")
	case !p.host && s.Host != "":
		return fmt.Errorf("host is for git and docker")
	case strings.ContainsAny(s.Host, "\n\r\x00"):
		return errors.New("host has a line break")
	case s.Timeout < 0 || s.Timeout > maxTimeout:
		return fmt.Errorf("timeout: at most %s", maxTimeout)
	}
	for k, v := range s.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return fmt.Errorf("env: %q is not the name of a variable, or what it says has a NUL", k)
		}
	}
	for _, a := range s.Args {
		if strings.Contains(a, "\x00") {
			return errors.New("an argument has a NUL")
		}
	}
	return ours(s.Args[0], uid)
}

// ours is nil for a program that nobody can replace but root and who runs it:
// neither itself, nor a directory on its way.
func ours(path string, uid int) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for p := real; ; p = filepath.Dir(p) {
		st, err := os.Lstat(p)
		if err != nil {
			return err
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		sticky := st.IsDir() && st.Mode()&fs.ModeSticky != 0
		switch {
		case !ok:
			return fmt.Errorf("%s: it cannot be seen whose it is", p)
		case p == real && (!st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0):
			return fmt.Errorf("%s is no program", p)
		case sys.Uid != 0 && int(sys.Uid) != uid:
			return fmt.Errorf("%s belongs to user %d, who could replace the program", p, sys.Uid)
		case st.Mode().Perm()&0o002 != 0 && !sticky:
			return fmt.Errorf("everybody may write %s, and so replace the program", p)
		case st.Mode().Perm()&0o020 != 0 && sys.Gid != 0 && !sticky && int(sys.Gid) != uid:
			return fmt.Errorf("the group %d may write %s, and so replace the program", sys.Gid, p)
		case p == "/":
			return nil
		}
	}
}

// String names the program, without its arguments.
func (s *Source) String() string { return "exec:" + s.spec.Args[0] }

// Spec returns what is run.
func (s *Source) Spec() Spec { return s.spec }

// Fetch runs it.
func (s *Source) Fetch(ctx context.Context, _ credentials.Params) (credentials.Value, error) {
	fail := func(err error) (credentials.Value, error) { return credentials.Value{}, fmt.Errorf("%s: %w", s, err) }
	out, err := s.run.Run(ctx, s.spec)
	defer clear(out.Stdout)
	switch {
	case err != nil:
		return fail(err)
	case out.Failed != "":
		return fail(errors.New(out.Failed))
	case out.Code != 0:
		return fail(fmt.Errorf("it ended with status %d, having said %d bytes on its standard error, which are not repeated", out.Code, out.Stderr))
	}
	v, err := protocols[s.spec.Protocol].read(out.Stdout)
	if err != nil {
		return fail(fmt.Errorf("its output, which is not repeated: %w", err))
	}
	return v, nil
}

// Nobody runs nothing: what serve has when its configuration named no program at
// its start.
type Nobody struct{}

// Run fails.
func (Nobody) Run(context.Context, Spec) (Output, error) {
	return Output{}, errors.New("nobody runs it")
}

// Knows is false.
func (Nobody) Knows(Spec) bool { return false }

// environ is the environment of a run, in order.
func (s Spec) environ() []string {
	out := []string{}
	for k, v := range s.Env {
		out = append(out, k+"="+v)
	}
	for k, v := range protocols[s.Protocol].env {
		if _, ok := s.Env[k]; !ok {
			out = append(out, k+"="+v)
		}
	}
	slices.Sort(out)
	return out
}
