package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/metrics"
	"sallyport/policy/learn"
	"sallyport/policy/rego"
	"sallyport/policy/replay"
)

func policyLearnCommand() *cobra.Command {
	var l logReader
	var out, paths string
	o := learn.Options{}
	cmd := &cobra.Command{
		Use:   "learn [flags] [LOG]",
		Short: "Write the least policy that allows what a log says was allowed",
		Long: `learn reads a log and writes a policy, with tests, that allows the hosts, methods and paths of the requests that were allowed,
also those that mode observe let pass; connections that were carried unread; WebSockets; and what name servers were asked. What was refused is
never learnt. In paths, UUIDs, long hexadecimal ids, and numbers of which several were seen stand for others of their kind. What does
not hold against what was refused is taken exactly.

The policy is checked, tested and replayed against the log before it is written; what comes of that is on standard error. Without --out it is
printed. LOG is a directory, or a file of it; without one it is that of the newest run. The exit code is 0 when nothing flips, 1 when
something does, and 2 when there is no policy.`,
		Example: `  sallyport run --mode observe -- ./agent && sallyport policy learn --out ./learnt
  sallyport policy learn --sandbox build --since 168h --paths exact /var/lib/sallyport/audit
  sallyport run --policy ./learnt -- ./agent`,
		Args: cobra.MaximumNArgs(1),
	}
	l.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "write the policy into `DIR`, where no file is overwritten")
	f.StringVar(&paths, "paths", string(learn.Shape), "take paths by their `KIND`: shape, exact or none (any path)")
	f.IntVar(&o.MaxHosts, "max-hosts", learn.DefaultHosts, "learn at most `N` hosts, each with its scheme and port")
	f.IntVar(&o.MaxPaths, "max-paths", learn.DefaultPaths, "name at most `N` kinds of paths of a host: beyond that only their beginnings count")
	f.IntVar(&o.MaxNames, "max-names", learn.DefaultNames, "learn at most `N` names that name servers are asked about")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.Paths = learn.Precision(paths); o.Paths != learn.Shape && o.Paths != learn.Exact && o.Paths != learn.None {
			return &exitError{code: codeNoAnswer, err: fmt.Errorf("--paths %q: expected shape, exact or none", paths)}
		}
		if o.MaxHosts < 1 || o.MaxPaths < 2 || o.MaxNames < 1 {
			return &exitError{code: codeNoAnswer, err: errors.New("--max-hosts, --max-paths and --max-names: expected a number from 1 on, of paths from 2 on")}
		}
		c := &learning{l: &l, o: o, out: out, stderr: cmd.ErrOrStderr()}
		files, err := c.run(cmd.Context(), args)
		l.meter.clear()
		if err == nil && out == "" {
			err = printFiles(cmd.OutOrStdout(), files)
		} else if err == nil {
			err = writeFiles(out, files)
		}
		switch b := (*audit.BreakError)(nil); {
		case errors.As(err, &b):
			return &exitError{code: codeNoAnswer, err: fmt.Errorf("%w: see sallyport audit verify; --unverified reads on", err)}
		case err != nil:
			return &exitError{code: codeNoAnswer, err: err}
		}
		c.tell(cmd.ErrOrStderr())
		if c.replayed.Flips() > 0 {
			return &exitError{code: 1}
		}
		return nil
	}
	return cmd
}

// A learning is a policy on its way out of a log.
type learning struct {
	l        *logReader
	o        learn.Options
	out      string
	stderr   io.Writer
	log      string
	learnt   *learn.Learnt
	replayed *replay.Result
	tests    int
}

// run learns. Where something that was refused would pass, the paths of its host are
// taken exactly, if that helps.
func (c *learning) run(ctx context.Context, args []string) (files map[string][]byte, err error) {
	c.l.meter = &meter{}
	if c.log, err = logDir(args); err != nil {
		return nil, err
	}
	if err := c.l.open(c.stderr); err != nil {
		return nil, err
	}
	c.o.Wall, c.o.Sandbox, c.o.Read, c.o.Decided, c.o.AsIs = metrics.Codes(), c.l.sandbox, c.l.o, c.l.meter.count, map[string]bool{}
	if c.o.Read.Until.IsZero() { // what is recorded meanwhile is for another time
		c.o.Read.Until = c.l.now
	}
	if files, err = c.once(ctx); err != nil || c.replayed.Allowed == 0 || c.o.Paths != learn.Shape {
		return files, err
	}
	loose := *c
	for _, g := range c.replayed.Groups {
		if g.Kind == replay.Allowed {
			c.o.AsIs[g.Host] = true
		}
	}
	exact, err := c.once(ctx)
	if err == nil && c.replayed.Allowed >= loose.replayed.Allowed { // paths are not what makes the difference
		*c = loose
		clear(c.o.AsIs)
		return files, nil
	}
	return exact, err
}

// once learns, and holds what was learnt against the log.
func (c *learning) once(ctx context.Context) (files map[string][]byte, err error) {
	if c.learnt, err = learn.Run(ctx, c.log, c.o); err != nil {
		return nil, err
	}
	if files, err = c.learnt.Files(); err != nil {
		return nil, err
	}
	return files, c.hold(ctx, files)
}

// hold checks, tests and replays what was learnt.
func (c *learning) hold(ctx context.Context, files map[string][]byte) error {
	dir, err := os.MkdirTemp("", "sallyport-learnt")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := writeFiles(dir, files); err != nil {
		return err
	}
	if r := rego.Inspect(ctx, dir); !r.OK || len(r.Warnings) > 0 {
		var b bytes.Buffer
		printReport(&b, r, true)
		return fmt.Errorf("what was learnt does not pass policy check --strict:\n%s", b.String())
	}
	t, err := rego.RunTests(ctx, dir, rego.TestOptions{})
	if err != nil {
		return err
	}
	if c.tests = t.Passed; t.Failed > 0 {
		var b bytes.Buffer
		t.WriteFailures(&b)
		return fmt.Errorf("what was learnt fails its own tests:\n%s", b.String())
	}
	ps, err := loadAll(ctx, []string{dir})
	if err != nil {
		return err
	}
	c.replayed, err = replay.Run(ctx, c.log, replay.Options{Policies: ps, Wall: c.o.Wall, Sandbox: c.o.Sandbox, Read: c.o.Read, Decided: c.o.Decided})
	return err
}

// tell says what was learnt, and how it holds.
func (c *learning) tell(w io.Writer) {
	line := func(format string, a ...any) { fmt.Fprintln(w, shown(fmt.Sprintf(format, a...))) }
	to := c.out
	if to == "" {
		to = "standard output"
	}
	line("%s: learnt from %s of %s decisions, into %s", c.log, grouped(c.learnt.Taken), grouped(c.learnt.Decisions), to)
	line("%10s tests pass, and policy check --strict does", grouped(c.tests))
	r := c.replayed
	line("%10s decisions asked again: %s the same, %s flips, %s otherwise, %s undecidable", grouped(r.Decisions), grouped(r.Same), grouped(r.Flips()), grouped(r.Changed), grouped(r.Undecidable))
	for _, why := range slices.Sorted(maps.Keys(c.learnt.Left)) {
		line("%10s left out: %s", grouped(c.learnt.Left[why]), why)
	}
	for _, h := range slices.Sorted(maps.Keys(c.o.AsIs)) {
		line("           paths of %s are taken exactly, since others like them were refused", h)
	}
	for _, g := range r.Groups {
		if g.Kind == replay.Denied || g.Kind == replay.Allowed {
			line("%10s %s: %s %s %s", grouped(g.Count), map[string]string{replay.Denied: "would be denied", replay.Allowed: "would be allowed"}[g.Kind], phaseName(g.Phase), g.Method, g.Host)
		}
	}
}

// writeFiles writes files below a directory. One that is there already is left alone:
// then nothing is written.
func writeFiles(dir string, files map[string][]byte) error {
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already: nothing was written", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func printFiles(w io.Writer, files map[string][]byte) error {
	for i, name := range slices.Sorted(maps.Keys(files)) {
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if _, err := fmt.Fprintf(w, "%s# %s\n%s", gap, name, files[name]); err != nil {
			return err
		}
	}
	return nil
}
