package proxy_test

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/proxy"
	"sallyport/sandbox"
)

const (
	doorToken  = "door-Token_0123456789"
	otherToken = "other-Token-0123456789"
)

func tokens(ts ...string) (out [][sha256.Size]byte) {
	for _, t := range ts {
		out = append(out, sha256.Sum256([]byte(t)))
	}
	return out
}

// door opens a sandbox whose listener has a door.
func (r *rig) door(name string, a proxy.Asks) (*proxy.Gate, *proxy.Door, string) {
	r.t.Helper()
	g := r.srv.Open(&sandbox.Sandbox{ID: sandbox.NewID(), Name: name, Mode: sandbox.Enforce, Policy: []string{"test"}}, r.decider, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	d := proxy.NewDoor(a)
	go func() { _ = g.ServeDoor(l, d) }()
	return g, d, l.Addr().String()
}

// say sends bytes to an address and returns the first answer and what follows it.
func (r *rig) say(addr, text string) (*http.Response, string, net.Conn) {
	r.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, text)
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: strings.Fields(text)[0]})
	if err != nil {
		return &http.Response{}, err.Error(), c
	}
	var body []byte
	if !strings.HasPrefix(text, "CONNECT") || resp.StatusCode != 200 {
		body, _ = io.ReadAll(resp.Body)
	}
	return resp, string(body), c
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// hostile 220, 221: who comes to a listener is the sandbox only with its token, on
// every request and on CONNECT, before anything else is looked at; and the token
// goes no further.
func TestDoorAsksForTheToken(t *testing.T) {
	r := newRig(t, rigging{})
	_, _, addr := r.door("one", proxy.Asks{Tokens: tokens(doorToken)})
	r.door("two", proxy.Asks{Tokens: tokens(otherToken)})
	host := fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)
	get := func(auth string) string {
		if auth != "" {
			auth = "Proxy-Authorization: " + auth + "\r\n"
		}
		return fmt.Sprintf("GET http://%[1]s/echo HTTP/1.1\r\nHost: %[1]s\r\n%[2]sX-Sandbox: one\r\n\r\n", host, auth)
	}
	for _, good := range []string{basic("any", doorToken), basic("", doorToken), "Bearer " + doorToken, "bearer  " + doorToken} {
		resp, body, _ := r.say(addr, get(good))
		if resp.StatusCode != 200 || strings.Contains(body, doorToken) || strings.Contains(body, "Proxy-") || strings.Contains(body, strings.Fields(good)[1]) {
			t.Errorf("%q: %d %s", good, resp.StatusCode, body)
		}
	}
	seen := len(r.origin.Seen())
	for _, bad := range []string{"", basic("any", otherToken), basic(doorToken, ""), basic(doorToken, "x"), "Basic " + doorToken, "Bearer " + doorToken + "x", "Bearer", "Digest " + doorToken} {
		resp, body, _ := r.say(addr, get(bad))
		if resp.StatusCode != 407 || len(resp.Header["Proxy-Authenticate"]) != 2 || !resp.Close || !strings.Contains(body, "proxy_auth_") {
			t.Errorf("%q: %v %s", bad, resp, body)
		}
	}
	for text, want := range map[string]int{
		"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n":                                                   407,
		"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + basic("any", doorToken) + "\r\n\r\n": 407,
		"GET / HTTP/1.1\nHost: x\n\n":                400,
		"BREW http://x/ HTTP/1.1\r\nHost: x\r\n\r\n": 407,
		"GET http://x/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer " + doorToken + "\r\nProxy-Authorization: Bearer " + doorToken + "\r\n\r\n": 400,
	} {
		if resp, body, _ := r.say(addr, text); resp.StatusCode != want {
			t.Errorf("%q: %v %s", text, resp, body)
		}
	}
	if n := len(r.origin.Seen()); n != seen || len(r.asked.names) > 4 {
		t.Errorf("%d requests arrived, and %v were looked up", n-seen, r.asked.names)
	}
	// Each request of a connection shows it again.
	resp, body, c := r.say(addr, get("Bearer "+doorToken)+get(""))
	second, err := http.ReadResponse(bufio.NewReader(c), nil)
	if resp.StatusCode != 200 || err == nil && second.StatusCode != 407 {
		t.Errorf("%d %s, then %v %v", resp.StatusCode, body, second, err)
	}
	// What was let in by CONNECT asks for nothing inside.
	resp, body, c = r.say(addr, "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\nProxy-Authorization: Bearer "+doorToken+"\r\n\r\n")
	if resp.StatusCode != 200 {
		t.Fatalf("%v %s", resp, body)
	}
	fmt.Fprintf(c, "GET /inside HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n", host, doorToken)
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("%v %v", resp, err)
	}
	for _, s := range r.origin.Seen() {
		if strings.Contains(fmt.Sprint(s), doorToken) || strings.Contains(fmt.Sprint(s), "Proxy-Authorization") {
			t.Errorf("the token went on: %+v", s)
		}
	}
	if got := r.found(map[string]string{"policy.code": "proxy_auth_wrong"}); len(got) != 1 {
		t.Errorf("%d records of wrong tokens", len(got))
	}
	for _, e := range r.found(map[string]string{"event.name": "egress.request.decision"}) {
		if e.Str("sandbox.name") != "one" || strings.Contains(fmt.Sprint(e.Fields), doorToken) {
			t.Errorf("%v", e.Fields)
		}
	}
}

// hostile 222: guesses are few, whatever number of connections makes them.
func TestDoorGuesses(t *testing.T) {
	r := newRig(t, rigging{})
	for range 10 {
		begun := time.Now()
		wrong := r.guess()
		if time.Since(begun) > time.Second { // some may be forgiven by now
			continue
		}
		for _, w := range wrong {
			t.Error(w)
		}
		return
	}
	t.Error("forty guesses take more than a second")
}

// guess guesses at a door and returns what is wrong with the answers.
func (r *rig) guess() (wrong []string) {
	g, d, addr := r.door("one", proxy.Asks{Tokens: tokens(doorToken)})
	defer g.Close()
	host := fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)
	get := func(token string) string {
		return fmt.Sprintf("GET http://%[1]s/echo HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Bearer %[2]s\r\n\r\n", host, token)
	}
	kept := r.kept(addr, get(doorToken))
	if got := kept(); got != 200 {
		wrong = append(wrong, fmt.Sprint("the right token is answered ", got))
	}
	codes := make(chan int, 40)
	for i := range cap(codes) {
		go func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				codes <- 0
				return
			}
			defer c.Close()
			fmt.Fprint(c, get(fmt.Sprintf("guess-number-%08d", i)))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				codes <- 0
				return
			}
			codes <- resp.StatusCode
		}()
	}
	n := map[int]int{}
	for range cap(codes) {
		n[<-codes]++
	}
	if n[407] != 10 || n[429] != 30 {
		wrong = append(wrong, fmt.Sprint("forty guesses are answered ", n))
	}
	if resp, body, _ := r.say(addr, get(doorToken)); resp.StatusCode != 429 || !strings.Contains(body, "proxy_auth_limited") {
		wrong = append(wrong, "the right token of a source that guesses is looked at: "+body)
	}
	if got := kept(); got != 200 {
		wrong = append(wrong, fmt.Sprint("a connection that was let in before is answered ", got))
	}
	g.ChangeDoor(d, proxy.Asks{Tokens: tokens(doorToken)})
	if resp, body, _ := r.say(addr, get(doorToken)); resp.StatusCode != 429 {
		wrong = append(wrong, "a change forgives: "+body)
	}
	return wrong
}

// kept returns what sends the same again on one connection.
func (r *rig) kept(addr, text string) func() int {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	br := bufio.NewReader(c)
	return func() int {
		fmt.Fprint(c, text)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
}

// hostile 222: those who show nothing are few, and in nobody's way.
func TestDoorStrangers(t *testing.T) {
	r := newRig(t, rigging{})
	_, _, addr := r.door("one", proxy.Asks{Tokens: tokens(doorToken)})
	host := fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)
	kept := r.kept(addr, fmt.Sprintf("GET http://%[1]s/echo HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Bearer %[2]s\r\n\r\n", host, doorToken))
	if got := kept(); got != 200 {
		t.Fatal(got)
	}
	ended, done := make(chan bool, 70), make(chan struct{})
	for range cap(ended) {
		go func() {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
				_, err = c.Read(make([]byte, 1))
			}
			ended <- !errors.Is(err, os.ErrDeadlineExceeded)
			<-done // so that there is no room for another
			if c != nil {
				_ = c.Close()
			}
		}()
	}
	over := 0
	for range cap(ended) {
		if <-ended {
			over++
		}
	}
	if over != 6 {
		t.Errorf("%d of 70 connections that show nothing are ended", over)
	}
	if got := kept(); got != 200 {
		t.Errorf("one that was let in is answered %d", got)
	}
	close(done)
}

// A token that is not good any more ends what it opened; one beside it does not.
func TestDoorChanges(t *testing.T) {
	r := newRig(t, rigging{})
	g, d, addr := r.door("one", proxy.Asks{Tokens: tokens(doorToken, otherToken)})
	host := fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)
	open := func(token string) net.Conn {
		resp, body, c := r.say(addr, "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\nProxy-Authorization: Bearer "+token+"\r\n\r\n")
		if resp.StatusCode != 200 {
			t.Fatalf("%v %s", resp, body)
		}
		return c
	}
	inside := func(c net.Conn) int {
		fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	old, kept := open(otherToken), open(doorToken)
	if inside(old) != 200 || inside(kept) != 200 {
		t.Fatal("nothing passes")
	}
	g.ChangeDoor(d, proxy.Asks{Tokens: tokens(doorToken)})
	if a, b := inside(old), inside(kept); a != 0 || b != 200 {
		t.Errorf("after a change: %d %d", a, b)
	}
	g.ChangeDoor(d, proxy.Asks{})
	if resp, _, _ := r.say(addr, "GET http://"+host+"/ HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); inside(kept) != 0 || resp.StatusCode != 403 {
		t.Errorf("a door that asks for nothing lets in: %v", resp)
	}
}

// Whoever shows nothing, or not all of it, is not waited for: hostile 222, 312.
func TestDoorDoesNotWait(t *testing.T) {
	r := newRig(t, rigging{})
	_, _, plain := r.door("plain", proxy.Asks{Tokens: tokens(doorToken)})
	_, _, secure := r.door("secure", proxy.Asks{Tokens: tokens(doorToken), TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	ends := make(chan string, 8)
	for what, say := range map[string][2]string{"no password": {plain, "\x05\x01\x02"}, "a version": {plain, "\x05"}, "no request": {r.addr, "\x05\x01\x00"}, "half a request": {r.addr, "\x05\x01\x00\x05\x01\x00\x03\x40exam"},
		"nothing": {plain, ""}, "half a head": {plain, "GET http://a.example/ HTTP/1.1\r\nHost: a.exam"}, "no handshake": {secure, ""}, "half a handshake": {secure, "\x16\x03\x01\x02\x00\x01"}} {
		go func() {
			c, err := net.Dial("tcp", say[0])
			if err != nil {
				ends <- err.Error()
				return
			}
			defer c.Close()
			fmt.Fprint(c, say[1])
			_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				ends <- what + " is waited for"
				return
			}
			ends <- ""
		}()
	}
	for range cap(ends) {
		if e := <-ends; e != "" {
			t.Error(e)
		}
	}
	for _, name := range []string{"plain", "test"} {
		if got := r.found(map[string]string{"policy.code": "socks_invalid", "sandbox.name": name}); len(got) == 0 {
			t.Errorf("%d records of half a handshake at %s", len(got), name)
		}
	}
}
