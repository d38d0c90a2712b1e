package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/origin/world"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("AUDIT_TEST_WRITER"); dir != "" {
		writer(dir)
		return
	}
	os.Exit(m.Run())
}

// writer records until it is killed, and says what was acknowledged.
func writer(dir string) {
	l, err := Open(dir, Options{SegmentBytes: 32 << 10})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				r, err := l.Record(context.Background(), decision("nonce"))
				if err != nil {
					fmt.Println("refused")
					time.Sleep(time.Millisecond)
					continue
				}
				fmt.Println("ack", r.ID)
			}
		})
	}
	wg.Wait()
}

func decision(path string) *Event {
	return &Event{Name: RequestDecision, Sandbox: Sandbox{ID: "s1", Name: "web"},
		Request:  &Request{Method: "GET", Scheme: "https", Host: "a.example", Port: 443, Path: "/" + path, Size: -1},
		Decision: &Decision{Effect: "allow", Action: "forwarded"}}
}

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustVerify(t testing.TB, dir string) *Report {
	t.Helper()
	r, err := Verify(dir, Expect{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() {
		t.Fatal(r)
	}
	return r
}

func TestRecordAndVerify(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 8 << 10})
	if _, err := Open(dir, Options{}); err == nil {
		t.Fatal("two writers have one log")
	}
	for i := range 10 { // groups, so that a segment fills between two of them
		var wg sync.WaitGroup
		for j := range 20 {
			wg.Go(func() {
				if _, err := l.Record(t.Context(), decision(fmt.Sprint(20*i+j))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := mustVerify(t, dir)
	if r.Segments < 3 || !r.Closed || r.Pending != 200 {
		t.Fatal(r)
	}
	l = open(t, dir, Options{}) // hostile 159: the decisions without an outcome are marked
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); r.Pending != 0 || r.Lost != 200 {
		t.Fatal(r)
	}
	if _, err := l.Record(t.Context(), decision("x")); !errors.Is(err, ErrUnavailable) {
		t.Fatal("a closed log takes records", err)
	}
}

// Any edit shows, but for a clean cut at the end, which the chain cannot see.
func TestEditsShow(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 4 << 10})
	for i := range 40 {
		if _, err := l.Record(t.Context(), decision(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := segments(dir)
	var all [][]byte // lines, with which segment they are of
	var at []string
	for _, n := range names {
		b, _ := os.ReadFile(filepath.Join(dir, n))
		for _, line := range bytes.SplitAfter(b, []byte("\n")) {
			if len(line) > 0 {
				all, at = append(all, line), append(at, n)
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		lines := make([][]byte, len(all))
		copy(lines, all)
		i, j := rnd.IntN(len(lines)-1), rnd.IntN(len(lines)-1)
		what := []string{"edit", "drop", "swap", "double"}[n%4]
		switch what {
		case "edit":
			b := bytes.Clone(lines[i])
			k := rnd.IntN(len(b))
			b[k] ^= 1 << rnd.IntN(7)
			lines[i] = b
		case "drop":
			lines[i] = nil
		case "swap":
			if i == j {
				continue
			}
			lines[i], lines[j] = lines[j], lines[i]
		case "double":
			lines[i] = append(bytes.Clone(lines[i]), lines[i]...)
		}
		bad := t.TempDir()
		for k, line := range lines {
			f, err := os.OpenFile(filepath.Join(bad, at[k]), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.Write(line)
			_ = f.Close()
		}
		if r, err := Verify(bad, Expect{}); err == nil && r.OK() {
			t.Fatalf("%s of record %d (and %d) is not seen", what, i, j)
		}
		if l, err := Open(bad, Options{}); err == nil {
			_ = l.Close()
			t.Fatalf("%s of record %d: a writer goes on with it", what, i)
		}
	}
}

func TestTornTail(t *testing.T) {
	for _, tail := range []string{`{"v":"egress.audit/1","@time`, "\x00\x00\x00\x00", strings.Repeat("x", 300<<10)} {
		dir := t.TempDir()
		l := open(t, dir, Options{})
		if _, err := l.Record(t.Context(), decision("a")); err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		names, _ := segments(dir)
		f, _ := os.OpenFile(filepath.Join(dir, names[0]), os.O_APPEND|os.O_WRONLY, 0)
		_, _ = f.WriteString(tail)
		_ = f.Close()
		l = open(t, dir, Options{})
		if _, err := l.Record(t.Context(), decision("b")); err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		mustVerify(t, dir)
		kept, _ := filepath.Glob(filepath.Join(dir, "torn-*.bin"))
		if len(kept) != 1 {
			t.Fatal("the tail was not kept")
		}
		if b, _ := os.ReadFile(kept[0]); string(b) != tail {
			t.Fatalf("%d bytes of %d were kept", len(b), len(tail))
		}
	}
}

// hostile 154: a full disk refuses, and the same segment goes on when it has room.
func TestDiskFull(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	dir := t.TempDir()
	world.Disk(t, dir, "192k")
	l := open(t, dir, Options{Reserve: 16 << 10})
	fill := filepath.Join(dir, "fill")
	f, _ := os.Create(fill)
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	_ = f.Close()
	var refused int
	for range 20 {
		if _, err := l.Record(t.Context(), decision(strings.Repeat("x", 3000))); errors.Is(err, ErrUnavailable) && errors.Is(err, unix.ENOSPC) {
			refused++
		}
	}
	if refused < 15 || l.Ready() == nil {
		t.Fatal("a full disk took records:", refused)
	}
	if err := l.Append(&Event{Name: RequestComplete, Of: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Record(t.Context(), decision("again")); err != nil {
		t.Fatal("it did not go on:", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := mustVerify(t, dir)
	if r.Segments != 1 || !r.Closed {
		t.Fatal(r)
	}
	if n := count(t, dir, `"event.of":"x"`); n != 1 {
		t.Fatalf("an outcome that waited is there %d times", n)
	}
}

func count(t testing.TB, dir, text string) (n int) {
	t.Helper()
	err := Tail(context.Background(), dir, TailOptions{Text: text}, func(Entry) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// hostile 151: after a sync that failed the segment is given up, what was not
// acknowledged is refused, and a new segment goes on.
func TestSyncFails(t *testing.T) {
	dir := t.TempDir()
	var fail atomic.Bool
	l := open(t, dir, Options{Sync: func(f *os.File) error {
		if fail.Load() {
			return unix.EIO
		}
		return fdatasync(f)
	}})
	rec := func(p string) error { _, err := l.Record(t.Context(), decision(p)); return err }
	if err := rec("good-1"); err != nil {
		t.Fatal(err)
	}
	fail.Store(true)
	for range 3 {
		if err := rec("bad"); !errors.Is(err, ErrUnavailable) {
			t.Fatal("a record that is not durable was acknowledged:", err)
		}
	}
	fail.Store(false)
	if err := rec("good-2"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := mustVerify(t, dir)
	if r.Segments != 2 || r.Unacknowledged == 0 {
		t.Fatal(r)
	}
	l = open(t, dir, Options{})
	_ = l.Close()
	mustVerify(t, dir)
}

// What nobody waits for is synced with what somebody does, or soon; when that
// fails it is written again, once.
func TestLooseRecords(t *testing.T) {
	dir := t.TempDir()
	var fail atomic.Bool
	var syncs atomic.Int64
	l := open(t, dir, Options{Sync: func(f *os.File) error {
		syncs.Add(1)
		if fail.Load() {
			return unix.EIO
		}
		return fdatasync(f)
	}})
	before := syncs.Load()
	for i := range 100 {
		if err := l.Append(&Event{Name: RequestComplete, Of: fmt.Sprintf("a%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		if n := count(t, dir, `"event.of":"a99"`); n == 1 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(2 * syncWithin)
	if n := syncs.Load() - before; n < 1 || n > 10 {
		t.Errorf("%d syncs for 100 records that nobody waits for", n)
	}
	fail.Store(true)
	for i := range 10 {
		_ = l.Append(&Event{Name: RequestComplete, Of: fmt.Sprintf("b%d", i)})
	}
	time.Sleep(3 * syncWithin) // the sync fails in the background
	if _, err := l.Record(t.Context(), decision("refused")); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	fail.Store(false)
	if _, err := l.Record(t.Context(), decision("again")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := mustVerify(t, dir)
	if r.Segments != 2 || r.Unacknowledged == 0 {
		t.Error(r)
	}
	raw, err := os.ReadFile(filepath.Join(dir, must(segments(dir))[1]))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if n := strings.Count(string(raw), fmt.Sprintf(`"event.of":"b%d"`, i)); n != 1 {
			t.Errorf("b%d is %d times in the segment that counts", i, n)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// hostile 155
func TestUnlinkedAndReplaced(t *testing.T) {
	for _, replace := range []bool{false, true} {
		dir := t.TempDir()
		l := open(t, dir, Options{})
		if _, err := l.Record(t.Context(), decision("a")); err != nil {
			t.Fatal(err)
		}
		names, _ := segments(dir)
		p := filepath.Join(dir, names[0])
		if replace {
			b, _ := os.ReadFile(p)
			_ = os.Remove(p)
			_ = os.WriteFile(p, b, 0o600)
		} else {
			_ = os.Remove(p)
		}
		if _, err := l.Record(t.Context(), decision("b")); err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if got, _ := segments(dir); got[len(got)-1] == names[0] {
			t.Fatal("it went on with a file that is not in the directory")
		}
		if r, _ := Verify(dir, Expect{}); !replace && r.OK() {
			t.Fatal("a missing segment is not seen")
		}
	}
}

// told keeps what is written, and says when there is some of it.
type told struct {
	b     bytes.Buffer
	first chan struct{}
	once  sync.Once
}

func (w *told) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.first) })
	return w.b.Write(p)
}

// hostile 149, 159: nothing that was acknowledged is missing after a kill.
func TestKilled(t *testing.T) {
	rounds := 20
	if s := os.Getenv("SALLYPORT_SOAK"); s != "" {
		rounds = 1000
	}
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(3, 4))
	acked := map[string]bool{}
	for n := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "AUDIT_TEST_WRITER="+dir)
		out := &told{first: make(chan struct{})}
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if n%4 != 0 { // else perhaps before it has begun
			select {
			case <-out.first:
			case <-time.After(10 * time.Second):
			}
		}
		time.Sleep(time.Duration(20+rnd.IntN(60)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for line := range strings.Lines(out.b.String()) {
			if id, ok := strings.CutPrefix(line, "ack "); ok && strings.HasSuffix(id, "\n") {
				acked[strings.TrimSpace(id)] = true
			}
		}
	}
	l := open(t, dir, Options{})
	_ = l.Close()
	r := mustVerify(t, dir)
	if len(acked) < rounds {
		t.Fatalf("only %d records were acknowledged in %d rounds", len(acked), rounds)
	}
	found := map[string]bool{}
	_ = Tail(t.Context(), dir, TailOptions{}, func(e Entry) error { found[e.Str("event.id")] = true; return nil })
	for id := range acked {
		if !found[id] {
			t.Fatalf("%s was acknowledged and is gone", id)
		}
	}
	t.Logf("%d acknowledged, %d records, %d lost marks", len(acked), r.Records, r.Lost)
}

// hostile 152, 153: whatever a sandbox sends, a record is one valid line.
func TestInjection(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	nasty := []string{"a\r\nb", "a\x1b[31mb", `a","policy.decision":"allow`, "a\xff\xfe", "a\u2028b\u0085c", "<script>&", strings.Repeat("ü", 50_000), strings.Repeat("\x00", 9000)}
	for _, s := range nasty {
		ev := decision(s)
		ev.Request.UserAgent, ev.Request.SNI, ev.Request.Original, ev.Request.Query, ev.Request.ClientID = s, s, s, s, s
		ev.Connection = Connection{ID: s, Ingress: s, TLS: &TLS{SNI: s, ALPN: s, Issuer: s}}
		ev.Sandbox.Labels = map[string]string{s: s}
		ev.Decision.Public, ev.Decision.Operator, ev.Decision.Reasons, ev.Decision.Input = s, s, []string{s}, []byte(`{"a":`+s)
		ev.DNS = &DNS{Question: s, Answers: []string{s}}
		ev.Result = &Result{Error: s, ErrorType: s}
		if _, err := l.Record(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	if r := mustVerify(t, dir); r.Records != len(nasty)+2 {
		t.Fatal(r)
	}
	err := Tail(t.Context(), dir, TailOptions{}, func(e Entry) error {
		if len(e.Line) > maxLine {
			t.Errorf("a record has %d bytes", len(e.Line))
		}
		for _, c := range string(e.Line) {
			if c < ' ' || c == '<' || c == '>' || c == '&' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0xfffd && false {
				t.Errorf("a record has %q", c)
			}
		}
		var b bytes.Buffer
		if err := FormatEntry(&b, e, false); err != nil {
			t.Error(err)
		}
		if strings.Count(b.String(), "\n") != 1 || strings.ContainsAny(b.String(), "\x1b\r\x00") {
			t.Errorf("%q", b.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hostile 160: what is chained is what the filter left.
func TestFilter(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{Filter: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("s3cret-canary"), []byte("[REDACTED]")) }})
	if _, err := l.Record(t.Context(), decision("s3cret-canary")); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	mustVerify(t, dir)
	if count(t, dir, "s3cret-canary") != 0 || count(t, dir, "REDACTED") != 1 {
		t.Fatal("the filter was not asked")
	}
}

func TestTailFollows(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 2 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		for i := range 20 {
			_, _ = l.Record(ctx, decision(fmt.Sprint(i)))
		}
	}()
	n := 0
	err := Tail(ctx, dir, TailOptions{Follow: true, Decision: "allow", Host: "a.example", Sandbox: "web"}, func(e Entry) error {
		if e.Str("url.path") != fmt.Sprint("/", n) {
			t.Errorf("record %d is %s", n, e.Line)
		}
		if n++; n == 20 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n != 20 {
		t.Fatal(n, err)
	}
	_ = l.Close()
}

// The golden file is the schema: a change of it is a change for every reader.
func TestGolden(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	ap := netip.MustParseAddrPort
	full := &TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", ALPN: "h2", SNI: "a.example", Intercepted: true, LeafSHA256: "00", Issuer: "CN=x", Verified: true, Resumed: true, ClientSHA256: "11"}
	req := &Request{Method: "POST", Scheme: "https", Host: "a.example", Port: 443, Path: "/p", Query: "q=1", Original: "/P", Protocol: "2", Name: "websocket", UserAgent: "ua", ContentType: "application/json", Size: 3, ClientID: "c", Connect: "a.example:443", SNI: "a.example", HostAs: "A.example"}
	sb := Sandbox{ID: "s1", Name: "web", Way: "run", Labels: map[string]string{"team": "web"}}
	cn := Connection{ID: "c1", Ingress: "transparent", Client: ap("198.18.0.16:40000"), Original: ap("198.18.0.16:443"), TLS: full}
	events := []*Event{
		{Name: RequestDecision, Sandbox: sb, Connection: cn, Request: req, Server: &Server{Binding: "b:80"}, Credential: []CredentialUse{{Name: "github"}},
			Decision: &Decision{Effect: "allow", Action: "forwarded", Phase: "egress", Code: "code", Public: "public", Operator: "operator", Reasons: []string{"r"}, Tags: []string{"t"}, Policy: "default", Digest: "dd", Input: []byte(`{"request":{"method":"POST"}}`), Reads: []byte(`["/request/method"]`), Steps: 7, Took: 9, Cached: true, Would: "default_deny", Edits: []string{"/model"}}},
		{Name: RequestComplete, Of: "d1", Sandbox: sb, Connection: cn, Request: req, Server: &Server{Address: ap("192.0.2.1:443"), Judged: []Judged{{netip.MustParseAddr("10.0.0.1"), "private", false}}, TLS: full, Parent: "http://p:3128", Unjudged: true},
			Credential: []CredentialUse{{Name: "github", Kind: "bearer", Version: "v1", Source: "env:T", Place: "header:Authorization", Client: "stripped"}},
			Result: &Result{Outcome: "success", Status: 200, Source: "upstream", ErrorType: "e", Error: "m", BytesIn: 1, BytesOut: 2, Scrubbed: 3, Edits: []string{"/secret"}, Resends: 4, Took: 5, TimeToFirst: 6, ContentType: "text/plain", Flags: []string{"F"}, UpstreamProto: "HTTP/2.0",
				Messages: &Messages{In: 7, Out: 8, Close: 1000, By: "client"}}},
		{Name: RequestLost, Of: "d1"},
		{Name: PacketRefused, Sandbox: sb, Packet: &Packet{Transport: "udp", Source: ap("10.0.0.1:1"), Dest: ap("8.8.8.8:443"), Type: 8, Count: 2}, Decision: &Decision{Effect: "deny", Action: "blocked", Code: "protocol_denied"}},
		{Name: DNSQuery, Sandbox: sb, DNS: &DNS{Question: "a.example.", Type: "A", Rcode: "NOERROR", Answers: []string{"198.18.0.16"}, Transport: "udp", Count: 1}},
		{Name: DNSDecision, Sandbox: sb, DNS: &DNS{Question: "a.example.", Type: "TXT"}, Decision: &Decision{Effect: "allow", Action: "forwarded", Phase: "dns", Policy: "default", Digest: "dd"}},
		{Name: LifecycleStart, Lifecycle: &Lifecycle{Version: "v", Command: "c", Policy: "p", Digest: "d", Detail: map[string]string{"k": "v"}, Count: 1, Lost: 2}},
	}
	var got bytes.Buffer
	for i, ev := range events {
		ev.ID = fmt.Sprintf("id-%d", i)
		line := encode(nil, ev, place{seq: uint64(i + 1), prev: "pp", boot: "bb", mono: 8, now: at}, "v1")
		if err := json.Indent(&got, line, "", " "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
	}
	const file = "testdata/records.golden"
	if os.Getenv("UPDATE") != "" {
		_ = os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("records changed; if that is meant, run with UPDATE=1:\n%s", got.String())
	}
}

func FuzzWalk(f *testing.F) {
	good, err := os.ReadFile("testdata/segment.ndjson")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Fuzz(func(t *testing.T, b []byte) {
		d := t.TempDir()
		_ = os.WriteFile(filepath.Join(d, "seg-00000000000000000001.ndjson"), b, 0o600)
		r, err := Verify(d, Expect{})
		if err != nil || !r.OK() {
			return
		}
		whole := b[:int64(len(b))-r.Torn] // the last record has none behind it that would show an edit
		if i := bytes.LastIndexByte(whole[:len(whole)-1], '\n'); !bytes.HasPrefix(good, whole[:i+1]) {
			t.Fatalf("%q holds", b)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := open(b, b.TempDir(), Options{})
			b.SetParallelism(max(n/4, 1))
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := l.Record(context.Background(), decision("a")); err != nil {
						b.Error(err)
					}
				}
			})
			_ = l.Close()
		})
	}
}
