package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/origin/calls"
)

// A protocol is a row of the table: one client, whose user is allowed one name
// and refused another.
type protocol struct {
	name string // in the README
	slug string // in names of hosts and tests
	zone string // of the name that is allowed: below it stands what for; see tablePolicy

	// script is of a shell, and sees HOST, KIT (a directory of files for clients), TLS
	// and PLAIN (ports of the origin), PORT, and at a proxy PROXY, its URL, and THROUGH,
	// a command that connects its input and output to a host and port.
	script  string
	proxied string // at a proxy instead; "" means script

	// Why there is no cell at an HTTP proxy, at one of SOCKS, and at one that asks for a
	// token; "" means that there is one.
	noHTTP, noSOCKS, noToken string

	port func(*table) int // PORT; nil means none
	at   int              // not 0: the name exists inside only, and leads from this port to PORT

	says    string // in what the client writes when it is allowed
	reads   string // and when it is refused: one of these, with | between them
	code    string // of the record of a refusal
	told    string // the same at a proxy, which says no before anything is said; "" means code
	carries string // what a refusal is, in the README
}

// A way is how a sandbox's traffic gets in.
type way struct {
	name   string // of the test
	column string // of the README
	proxy  string // "", http or socks
	token  bool   // the proxy asks for one
	start  func(*table, *testing.T) *boxed
}

// tableWays are the columns of the table, some in more than one form.
var tableWays = []way{
	{name: "run", column: "`run`", start: func(tb *table, t *testing.T) *boxed { return tb.run(t, callers()[0]) }},
	{name: "run-user", column: "`run`", start: func(tb *table, t *testing.T) *boxed { return tb.run(t, ordinary()) }},
	{name: "sidecar", column: "`run --sidecar`", start: (*table).enrolled},
	{name: "join", column: "`join`", start: (*table).joined},
	{name: "attach", column: "`attach`", start: func(tb *table, t *testing.T) *boxed { return tb.attached(t, "attach") }},
	{name: "gateway", column: "`gateway`", start: func(tb *table, t *testing.T) *boxed { return tb.attached(t, "gateway") }},
	{name: "http", column: "HTTP proxy", proxy: "http", token: true, start: func(tb *table, t *testing.T) *boxed { return tb.toldTCP(t, "http") }},
	{name: "http-unix", column: "HTTP proxy", proxy: "http", start: func(tb *table, t *testing.T) *boxed { return tb.toldUnix(t, "http") }},
	{name: "socks", column: "SOCKS5", proxy: "socks", token: true, start: func(tb *table, t *testing.T) *boxed { return tb.toldTCP(t, "socks5h") }},
	{name: "socks-unix", column: "SOCKS5", proxy: "socks", start: func(tb *table, t *testing.T) *boxed { return tb.toldUnix(t, "socks5h") }},
}

// has reports whether a protocol has a meaning in a way.
func (w way) has(p *protocol) bool {
	return !(w.proxy == "http" && p.noHTTP != "" || w.proxy == "socks" && p.noSOCKS != "" || w.token && p.noToken != "")
}

// ordinary is an ordinary user whom the system has an account of, which ssh asks for.
func ordinary() caller {
	if os.Getuid() == 0 {
		return caller{"user", 65534}
	}
	return callers()[0]
}

// rows are the protocols of the table.
func rows() []protocol {
	return slices.Concat(webProtocols, callProtocols, rawProtocols, nameProtocols)
}

// tablePolicy lets HTTP and WebSockets to *.ok.example.com, any TCP to *.raw.example.com, TLS
// that stays unopened to *.tls.example.com, and questions about *.txt.example.com.
const tablePolicy = `package egress

allow if endswith(input.destination.host, ".ok.example.com")

websocket := true
`

const tableNamesPolicy = `package egress.dns

allow if endswith(input.question.name, ".txt.example.com")
`

const tableConnectPolicy = `package egress.connect

raw if endswith(input.destination.host, ".raw.example.com")

allow if raw

opaque if raw

allow if {
	input.destination.protocol == "tls"
	endswith(input.destination.host, ".tls.example.com")
}
`

func (p *protocol) host() string    { return p.slug + "." + p.zone + ".example.com" }
func (p *protocol) refused() string { return p.slug + ".no.example.com" }

// port inside, by which records know what was asked for.
func (p *protocol) seen(tb *table) int {
	switch {
	case p.at != 0:
		return p.at
	case p.port != nil:
		return p.port(tb)
	}
	return tb.origin.TLSPort
}

// Every protocol by every way in, with clients as they are, allowed and refused:
// who is refused is told at once, by the client or by the records.
func TestProtocols(t *testing.T) {
	tb := newTable(t)
	for _, w := range tableWays {
		t.Run(w.name, func(t *testing.T) {
			in := w.start(tb, t)
			for _, p := range rows() {
				if w.has(&p) {
					t.Run(p.slug, func(t *testing.T) {
						t.Parallel()
						tb.cell(t, w, in, &p)
					})
				}
			}
		})
	}
}

// cell is one protocol by one way.
func (tb *table) cell(t *testing.T, w way, in *boxed, p *protocol) {
	port := p.seen(tb)
	script := p.script
	if w.proxy != "" && p.proxied != "" {
		script = p.proxied
	}
	do := func(host string) result {
		return in.do(t, fmt.Sprintf("HOST=%s PORT=%d\n%s", host, port, script))
	}
	ok := do(p.host())
	if !strings.Contains(ok.Out, p.says) {
		t.Errorf("allowed, %q is not in what the client writes:\n%s", p.says, ok.Out)
	}
	no := do(p.refused())
	if strings.Contains(no.Out, p.says) || !slices.ContainsFunc(strings.Split(p.reads, "|"), func(s string) bool { return strings.Contains(no.Out, s) }) {
		t.Errorf("refused, %q is not in what the client writes:\n%s", p.reads, no.Out)
	}
	if no.Took > 3*ok.Took+3*time.Second {
		t.Errorf("a refusal takes %v, an answer %v", no.Took, ok.Took)
	}
	told, code := "", p.code
	if w.proxy != "" && p.told != "" {
		code = p.told
	}
	for range 100 {
		told = in.tail(t, p.refused())
		if strings.Contains(told, code) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	at := fmt.Sprintf("%s:%d", p.refused(), port)
	if p.zone == "txt" { // a question
		at = "TXT " + p.refused() + "."
	}
	if !strings.Contains(told, "  "+code) || !strings.Contains(told, at) {
		t.Errorf("%s and %s are not in what audit tail shows:\n%s", code, at, told)
	}
}

// The table of the README is that of the tests.
func TestReadmeProtocols(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := readmeTable(); !strings.Contains(string(readme), want) {
		t.Errorf("README.md does not have the table:\n%s", want)
	}
}

// readmeTable is what the README shows of the table.
func readmeTable() string {
	var columns []string
	for _, w := range tableWays {
		if !slices.Contains(columns, w.column) {
			columns = append(columns, w.column)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| Client | %s | Refused |\n|---|%s---|\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, p := range rows() {
		fmt.Fprintf(&b, "| %s |", p.name)
		for _, c := range columns {
			mark := "–"
			for _, w := range tableWays {
				if w.column == c && w.has(&p) {
					mark = "✓"
				}
			}
			fmt.Fprintf(&b, " %s |", mark)
		}
		fmt.Fprintf(&b, " %s |\n", p.carries)
	}
	return b.String()
}

// newTable starts the servers that all cells share.
func newTable(t *testing.T) *table {
	tb := &table{t: t, kit: t.TempDir()}
	svc := calls.New()
	t.Cleanup(svc.Stop)
	g, err := origin.Start(origin.Options{Handler: tableOrigin(svc)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	tb.origin = g
	tb.equip(t)
	return tb
}
