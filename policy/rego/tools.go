package rego

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"
)

// Test runs the rules of a policy that begin with test_, and says on w which
// failed, where, and at which expression.
func Test(ctx context.Context, dir string, w io.Writer) (passed, failed int, err error) {
	o := Options{Name: dir, Dir: dir}
	if _, err := Load(ctx, o); err != nil {
		return 0, 0, err
	}
	src, all, err := withTests(o)
	if err != nil {
		return 0, 0, err
	}
	store := inmem.NewFromObject(src.data)
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return 0, 0, err
	}
	ch, err := tester.NewRunner().SetCompiler(newCompiler()).SetStore(store).SetModules(all).EnableTracing(true).
		CapturePrintOutput(true).SetTimeout(10*time.Second).RunTests(ctx, txn)
	if err != nil {
		return 0, 0, problems(dir, err)
	}
	for r := range ch {
		switch {
		case r.Skip:
		case r.Pass():
			passed++
		default:
			failed++
			fmt.Fprintf(w, "FAIL %s:%d: %s\n", r.Location.File, r.Location.Row, r.Name)
			if r.Error != nil {
				fmt.Fprintf(w, "  %v\n", r.Error)
			}
			if len(r.Output) > 0 {
				fmt.Fprintf(w, "  %s", r.Output)
			}
			if r.Trace != nil {
				var b bytes.Buffer
				topdown.PrettyTraceWithOpts(&b, lineage.Fails(r.Trace), topdown.PrettyTraceOptions{Locations: true, ExprVariables: true})
				for line := range strings.Lines(b.String()) {
					fmt.Fprint(w, "  ", line)
				}
			}
		}
	}
	return passed, failed, nil
}

// Format returns the Rego files of a directory that are not formatted, and with
// write formats them.
func Format(dir string, write bool) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".rego") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := format.SourceWithOpts(path, b, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			return problems(dir, err)
		}
		if bytes.Equal(b, f) {
			return nil
		}
		out = append(out, path)
		if !write {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(path, f, st.Mode().Perm())
	})
	return out, err
}
