package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// A Decision is the record of one as it is in the log, and those of what came of it.
type Decision struct {
	Record json.RawMessage   `json:"record"`
	Then   []json.RawMessage `json:"then,omitempty"`
}

// Decisions chooses the newest that have all that is not empty.
type Decisions struct {
	Sandbox string // name or id
	Host    string // of the destination
	Outcome string // allow, deny, error, respond, or denied for deny and error
	Code    string
	Limit   int // 0 means DefaultLimit
}

// How many decisions are told.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)

// Outcomes are what Decisions.Outcome can be.
var Outcomes = []string{"allow", "deny", "error", "respond", "denied"}

// A Credential is what is told of one: never its value.
type Credential struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`   // bearer, basic, header, query
	Place   string `json:"place"`  // header:Authorization
	Source  string `json:"source"` // env:TOKEN, file:/run/token
	Bind    string `json:"bind"`   // https://api.github.com:443
	Where   string `json:"where"`  // all that has to hold for a request to have it
	State   string `json:"state"`  // ready, unavailable, revoked
	Reason  string `json:"reason,omitempty"`
	Version string `json:"version,omitempty"` // changes with the value
	// Expires is when the value ends, if it does.
	Expires *time.Time `json:"expires,omitempty"`
}

// States of a credential.
const (
	CredentialReady       = "ready"
	CredentialUnavailable = "unavailable"
	CredentialRevoked     = "revoked"
)

func (s *Server) decisions(w http.ResponseWriter, r *http.Request, _ Actor) error {
	v := r.URL.Query()
	for k := range v {
		if !slices.Contains([]string{"sandbox", "host", "outcome", "code", "limit"}, k) {
			return fmt.Errorf("%w: parameter %q: known are sandbox, host, outcome, code, limit", ErrInvalid, k)
		}
	}
	q := Decisions{Sandbox: v.Get("sandbox"), Host: v.Get("host"), Outcome: v.Get("outcome"), Code: v.Get("code"), Limit: DefaultLimit}
	if q.Outcome != "" && !slices.Contains(Outcomes, q.Outcome) {
		return fmt.Errorf("%w: outcome %q: expected allow, deny, error, respond or denied", ErrInvalid, q.Outcome)
	}
	if t := v.Get("limit"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 || n > MaxLimit {
			return fmt.Errorf("%w: limit %q: expected a number from 1 to %d", ErrInvalid, t, MaxLimit)
		}
		q.Limit = n
	}
	answer(w, http.StatusOK, orNone(s.Teller.Decisions(q)))
	return nil
}

func (s *Server) decision(w http.ResponseWriter, r *http.Request, _ Actor) error {
	d, err := s.Teller.Decision(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, d)
	return nil
}

func (s *Server) credentials(w http.ResponseWriter, r *http.Request, _ Actor) error {
	answer(w, http.StatusOK, orNone(s.Teller.Credentials(r.Context())))
	return nil
}

func (s *Server) policies(w http.ResponseWriter, _ *http.Request, _ Actor) error {
	all, err := s.Teller.Policies()
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, orNone(all))
	return nil
}

// orNone is a list that is not null in JSON.
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Decisions returns the newest decisions that q chooses, the newest first.
func (c *Client) Decisions(ctx context.Context, q Decisions) (out []Decision, err error) {
	v := url.Values{}
	for k, x := range map[string]string{"sandbox": q.Sandbox, "host": q.Host, "outcome": q.Outcome, "code": q.Code} {
		if x != "" {
			v.Set(k, x)
		}
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	err = c.call(ctx, http.MethodGet, "/v1/decisions?"+v.Encode(), nil, &out)
	return out, err
}

// Decision returns the one with an id, which is what a refusal shows.
func (c *Client) Decision(ctx context.Context, id string) (out Decision, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/decisions/"+url.PathEscape(id), nil, &out)
	return out, err
}

// Credentials tells of each credential, by name.
func (c *Client) Credentials(ctx context.Context) (out []Credential, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/credentials", nil, &out)
	return out, err
}

// Policies tells of each policy, by name, with the sandboxes for which it decides.
func (c *Client) Policies(ctx context.Context) (out []Policy, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/policies", nil, &out)
	return out, err
}
