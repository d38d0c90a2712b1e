package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// maxBody bounds what a request says.
const maxBody = 1 << 20

// A Server answers on the control socket. Keeper and Teller are required.
type Server struct {
	Keeper Keeper
	Teller Teller
	// Users and Groups may command, beside root and the user who runs the server.
	Users, Groups []uint32
	// Own is the user id that runs the server.
	Own uint32
	// Metrics answers GET /metrics; nil has none.
	Metrics http.Handler
	// Refused is told of who was turned away, and why; nil is not.
	Refused func(a Actor, code string)
	// Failed is told of what should not happen; nil is not.
	Failed func(error)
}

// Serve answers until ctx ends, and then lets what is asked end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{DisableGeneralOptionsHandler: true, Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, actorKey{}, c.(*actorConn).actor)
		}}
	return serveUntil(ctx, srv, actorListener{l, s.may, &room{own: s.Own, by: map[uint32]int{}}, make(chan struct{}, 16), s.refused})
}

// serveUntil serves until ctx ends, and then lets what is asked end.
func serveUntil(ctx context.Context, srv *http.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if srv.Shutdown(end) != nil {
			_ = srv.Close()
		}
	})
	defer stop()
	err := srv.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) refused(a Actor, code string) {
	if s.Refused != nil {
		s.Refused(a, code)
	}
}

func (s *Server) may(a Actor) bool {
	return a.UID == 0 || a.UID == s.Own || slices.Contains(s.Users, a.UID) || slices.Contains(s.Groups, a.GID)
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request, Actor) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			a, ok := r.Context().Value(actorKey{}).(Actor)
			if !ok { // whether the actor may was asked when the connection was taken
				answer(w, http.StatusForbidden, Problem{Code: "forbidden", Detail: "this is no connection of the control socket"})
				return
			}
			defer s.recovered(w)
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			if err := h(w, r, a); err != nil {
				fail(w, err)
			}
		})
	}
	handle("POST /v1/sandboxes", s.create)
	handle("GET /v1/sandboxes", s.list)
	handle("GET /v1/sandboxes/{ref}", s.get)
	handle("PATCH /v1/sandboxes/{ref}", s.change)
	handle("DELETE /v1/sandboxes/{ref}", s.remove)
	handle("GET /v1/watch", s.watch)
	handle("GET /v1/credentials", s.credentials)
	handle("POST /v1/credentials/check", s.checkCredentials)
	handle("POST /v1/credentials/{name}/rotate", changing(s.Keeper.RotateCredential))
	handle("POST /v1/credentials/{name}/revoke", changing(s.Keeper.RevokeCredential))
	handle("GET /v1/policies", s.policies)
	handle("GET /v1/decisions", s.decisions)
	handle("GET /v1/decisions/{id}", s.decision)
	handle("POST /v1/ca/rotate", s.rotate)
	handle("GET /v1/status", func(w http.ResponseWriter, _ *http.Request, _ Actor) error {
		answer(w, http.StatusOK, s.Teller.Status())
		return nil
	})
	handle("GET /healthz", func(w http.ResponseWriter, _ *http.Request, _ Actor) error {
		_, err := io.WriteString(w, "ok\n")
		return err
	})
	handle("GET /readyz", s.ready)
	handle("GET /metrics", s.metrics)
	handle("/", func(_ http.ResponseWriter, r *http.Request, _ Actor) error {
		return fmt.Errorf("there is no %s %s in the control API: %w", r.Method, r.URL.Path, errNoRoute)
	})
	return mux
}

// recovered makes an answer of a bug.
func (s *Server) recovered(w http.ResponseWriter) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		panic(p)
	}
	err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	if s.Failed != nil {
		s.Failed(err)
	}
	fail(w, errors.New("the sidecar failed on this request"))
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request, _ Actor) error {
	st := s.Teller.Status()
	if !st.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, err := io.WriteString(w, strings.Join(st.Reasons, "\n")+"\n")
		return err
	}
	_, err := io.WriteString(w, "ready\n")
	return err
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request, _ Actor) error {
	if s.Metrics == nil {
		answer(w, http.StatusNotFound, Problem{Code: "not_found", Detail: "no metrics are kept"})
		return nil
	}
	w.Header().Set("Cache-Control", "no-store")
	s.Metrics.ServeHTTP(w, r)
	return nil
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, a Actor) error {
	var c Create
	if err := read(r, &c); err != nil {
		return err
	}
	out, err := s.Keeper.Create(r.Context(), a, c)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/sandboxes/"+out.Sandbox.ID)
	answer(w, http.StatusCreated, out)
	return nil
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, _ Actor) error {
	labels, err := ParseSelector(r.URL.Query()["label"])
	if err != nil {
		return err
	}
	all, err := s.Teller.Sandboxes(labels)
	if err != nil {
		return err
	}
	if all == nil {
		all = []Sandbox{}
	}
	answer(w, http.StatusOK, all)
	return nil
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, _ Actor) error {
	all, err := s.Teller.Sandboxes(nil)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(sb Sandbox) bool { return sb.ID == r.PathValue("ref") || sb.Name == r.PathValue("ref") })
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, r.PathValue("ref"))
	}
	answer(w, http.StatusOK, all[i])
	return nil
}

func (s *Server) change(w http.ResponseWriter, r *http.Request, a Actor) error {
	var p Patch
	if err := read(r, &p); err != nil {
		return err
	}
	sb, err := s.Keeper.Change(r.Context(), a, r.PathValue("ref"), p)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, sb)
	return nil
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request, a Actor) error {
	if err := s.Keeper.Remove(r.Context(), a, r.PathValue("ref")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// watch sends a JSON object a line, for each change, from now on.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, _ Actor) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	e := json.NewEncoder(w)
	err := s.Teller.Watch(r.Context(), func(c Change) error {
		_ = rc.SetWriteDeadline(time.Now().Add(answerWithin))
		if err := e.Encode(c); err != nil {
			return err
		}
		return rc.Flush()
	})
	if err != nil && r.Context().Err() == nil {
		panic(http.ErrAbortHandler) // a stream that ends early must look like it
	}
	return nil
}

// ParseSelector reads KEY=VALUE labels, all of which must hold.
func ParseSelector(in []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range in {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("%w: label %q: expected KEY=VALUE", ErrInvalid, s)
		}
		out[k] = v
	}
	return out, nil
}

// exact decodes JSON, and keeps the digits of numbers that stand in any: whose
// number a tenant has another may have but for the last.
func exact(r io.Reader) *json.Decoder {
	d := json.NewDecoder(r)
	d.UseNumber()
	return d
}

func read(r *http.Request, into any) error {
	d := exact(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: the body is not what is expected: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something stands behind the JSON value", ErrInvalid)
	}
	return nil
}
