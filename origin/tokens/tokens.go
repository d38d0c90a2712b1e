// Package tokens is a token server for tests: OAuth 2.0 as its RFCs have it, and every way to fail.
package tokens

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// How a Server answers.
const (
	Good      = "good"
	Hung      = "hung"      // never
	Slow      = "slow"      // after a second
	Trickle   = "trickle"   // a byte every 50 ms, without end
	Down      = "down"      // 503
	Flapping  = "flapping"  // every other time 503
	Cut       = "cut"       // the connection is reset
	Huge      = "huge"      // a GiB
	Malformed = "malformed" // not of JSON
	Twice     = "twice"     // two values of one name
	Ended     = "ended"     // a token that lasts no time
	Wrong     = "wrong"     // a token of another type
	Lines     = "lines"     // a token with a line break
	Away      = "away"      // a redirect
	Echo      = "echo"      // the request, as an error
)

// A Server has one client, and says whom it saw. It is safe for concurrent use.
type Server struct {
	URL, Client, Secret string
	Key                 crypto.PublicKey // of assertions
	Subject             string           // token that can be exchanged
	Life                time.Duration    // of tokens
	During              func()           // what is done before a token is given

	l    net.Listener
	http *http.Server

	mu             sync.Mutex
	how            string
	n, most, asked int
	refresh        string
	spent          int // refresh tokens that were shown twice
	forms          []url.Values
	ids            map[string]bool
}

// Start listens on loopback. Good is how it answers.
func Start() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + l.Addr().String() + "/token", Client: "sallyport", Secret: "client-secret:with/odd chars", Life: time.Hour, l: l, how: Good, refresh: "refresh-token-0", ids: map[string]bool{}}
	s.http = &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

// Close ends it.
func (s *Server) Close() { _ = s.http.Close() }

// Answer says how it answers from now on.
func (s *Server) Answer(how string) { s.mu.Lock(); s.how = how; s.mu.Unlock() }

// Counts are the requests so far, and the most that were under way at once.
func (s *Server) Counts() (asked, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.most
}

// Spent is how many refresh tokens were shown again after their use.
func (s *Server) Spent() int { s.mu.Lock(); defer s.mu.Unlock(); return s.spent }

// Forms are the requests that were answered well.
func (s *Server) Forms() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]url.Values{}, s.forms...)
}

// ServeHTTP answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	s.n++
	s.most = max(s.most, s.n)
	how := s.how
	if how == Flapping && s.asked%2 == 0 {
		how = Down
	}
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.n--; s.mu.Unlock() }()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	say := func(text string) { _, _ = io.WriteString(w, text) }
	switch how {
	case Hung:
		<-r.Context().Done()
	case Slow:
		time.Sleep(time.Second)
		s.grant(w, r, body)
	case Trickle:
		for r.Context().Err() == nil {
			say(" ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	case Down:
		w.WriteHeader(http.StatusServiceUnavailable)
		say(`{"error":"temporarily_unavailable","error_description":"` + s.Secret + `"}`)
	case Cut:
		panic(http.ErrAbortHandler)
	case Huge:
		say(`{"access_token":"`)
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	case Malformed:
		say(`{"access_token":"token-that-breaks`)
	case Twice:
		say(`{"access_token":"token-one-of-two","access_token":"token-two-of-two","token_type":"Bearer"}`)
	case Ended:
		say(`{"access_token":"token-without-life","token_type":"Bearer","expires_in":0}`)
	case Wrong:
		say(`{"access_token":"token-of-another-type","token_type":"mac","expires_in":60}`)
	case Lines:
		say(`{"access_token":"token\r\nX-Evil: 1","token_type":"Bearer","expires_in":60}`)
	case Away:
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	case Echo:
		w.WriteHeader(http.StatusBadRequest)
		b, _ := json.Marshal(string(body) + r.Header.Get("Authorization"))
		say(`{"error":` + string(b) + `,"error_description":` + string(b) + `}`)
	default:
		s.grant(w, r, body)
	}
}

func (s *Server) grant(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	form, err := url.ParseQuery(string(body))
	refuse := func(code string, err error) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": fmt.Sprint(err)})
	}
	if err == nil {
		err = s.wellFormed(r, form)
	}
	if err != nil {
		refuse("invalid_request", err)
		return
	}
	if err := s.client(r, form); err != nil {
		refuse("invalid_client", err)
		return
	}
	out := map[string]any{"access_token": fmt.Sprintf("access-token-%d-%s", len(s.forms)+1, strings.ReplaceAll(form.Get("scope"), " ", ".")), "token_type": "Bearer", "expires_in": int(s.Life / time.Second)}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "refresh_token":
		if form.Get("refresh_token") != s.refresh {
			s.spent++
			refuse("invalid_grant", errors.New("this refresh token was used"))
			return
		}
		s.refresh = fmt.Sprintf("refresh-token-%d", len(s.forms)+1)
		out["refresh_token"] = s.refresh
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		if err := s.asserted(form.Get("assertion")); err != nil {
			refuse("invalid_grant", err)
			return
		}
	case "urn:ietf:params:oauth:grant-type:token-exchange":
		if form.Get("subject_token") != s.Subject || form.Get("subject_token_type") == "" {
			refuse("invalid_grant", errors.New("the subject token is another"))
			return
		}
		out["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
	default:
		refuse("unsupported_grant_type", errors.New(form.Get("grant_type")))
		return
	}
	s.forms = append(s.forms, form)
	if s.During != nil {
		s.During()
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (s *Server) wellFormed(r *http.Request, form url.Values) error {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return errors.New("expected a form by POST")
	}
	for k, vs := range form {
		if len(vs) != 1 || vs[0] == "" {
			return fmt.Errorf("%s stands twice or is empty", k)
		}
	}
	return nil
}

// client knows who asks (RFC 6749, 2.3.1; RFC 7523, 2.2).
func (s *Server) client(r *http.Request, form url.Values) error {
	id, secret, basic := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	ways := 0
	if basic {
		ways++
	}
	if form.Has("client_secret") {
		ways++
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	if form.Has("client_assertion") {
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return errors.New("the assertion has no type")
		}
		if err := s.asserted(form.Get("client_assertion")); err != nil {
			return err
		}
		ways++
		id, secret = s.Client, s.Secret
	}
	if ways == 0 && form.Get("grant_type") != "client_credentials" {
		return nil // a public client, or an assertion says enough
	}
	if ways != 1 || id != s.Client || secret != s.Secret {
		return errors.New("the client is not known, or says who it is in more than one way")
	}
	return nil
}

// asserted checks an assertion (RFC 7523, 3).
func (s *Server) asserted(text string) error {
	t, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return s.Key, nil }, jwt.WithAudience(s.URL), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
	if err != nil {
		return err
	}
	c := t.Claims.(jwt.MapClaims)
	id, _ := c["jti"].(string)
	if id == "" || s.ids[id] || c["iss"] == "" || c["sub"] == "" {
		return errors.New("the assertion was shown before, or says too little")
	}
	s.ids[id] = true
	return nil
}
