// Package github takes installation tokens of GitHub Apps, for no more than what is asked for.
package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/credentials"
	"sallyport/credentials/assertion"
	"sallyport/credentials/endpoint"
)

// API is where GitHub is asked.
const API = "https://api.github.com"

// Options of a Source.
type Options struct {
	At           *endpoint.Endpoint // the API
	App          string             // its id, or client id
	Installation string             // a number
	Signer       assertion.Signer
	// Repositories, by name without the owner, and Permissions, as in contents: read, are
	// the most that a token is for; empty is all that the installation has.
	Repositories []string
	Permissions  map[string]string
}

// A Source is one installation. Policy may choose among its repositories and
// permissions. It is safe for concurrent use.
type Source struct{ o Options }

var _ credentials.Narrower = (*Source)(nil)

var (
	number     = regexp.MustCompile(`^[0-9]{1,19}$`)
	repository = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	permission = regexp.MustCompile(`^[a-z_]{1,64}$`)
	levels     = []string{"read", "write", "admin"} // each with those before it
)

// New checks what is said. Nothing is asked.
func New(ctx context.Context, o Options) (*Source, error) {
	switch {
	case o.App == "":
		return nil, errors.New("app_id is missing")
	case !number.MatchString(o.Installation):
		return nil, errors.New("installation_id is a number")
	}
	for _, r := range o.Repositories {
		if !named(r) {
			return nil, fmt.Errorf("repositories: %q is no name of one, without its owner", r)
		}
	}
	for p, l := range o.Permissions {
		if !permission.MatchString(p) || !slices.Contains(levels, l) {
			return nil, fmt.Errorf("permissions: %s: %s: expected a name such as contents, and read, write or admin", p, l)
		}
	}
	return &Source{o}, o.Signer.Check(ctx)
}

func named(r string) bool { return repository.MatchString(r) && r != "." && r != ".." }

// String names the installation.
func (s *Source) String() string { return fmt.Sprintf("github_app:%s/%s", s.o.App, s.o.Installation) }

// Takes returns what policy may choose: one repository, or some with spaces between
// them, and permissions such as "contents=read issues=write".
func (s *Source) Takes() []string { return []string{"repository", "repositories", "permissions"} }

// A body is what is asked for.
type body struct {
	Repositories []string          `json:"repositories,omitempty"`
	Permissions  map[string]string `json:"permissions,omitempty"`
}

// narrowed is what policy chose, within what the configuration has.
func (s *Source) narrowed(p credentials.Params) (body, error) {
	out := body{s.o.Repositories, s.o.Permissions}
	one, hasOne := p["repository"]
	some, hasSome := p["repositories"]
	if hasOne && hasSome {
		return body{}, errors.New("the policy chooses repository and repositories")
	}
	if hasOne || hasSome {
		out.Repositories = strings.Fields(some)
		if hasOne {
			out.Repositories = []string{one}
		}
		for _, r := range out.Repositories {
			if !named(r) || len(s.o.Repositories) > 0 && !slices.Contains(s.o.Repositories, r) {
				return body{}, errors.New("the policy chooses a repository that the configuration does not have")
			}
		}
		if len(out.Repositories) == 0 {
			return body{}, errors.New("the policy chooses no repository at all")
		}
	}
	if chosen, ok := p["permissions"]; ok {
		out.Permissions = map[string]string{}
		for _, f := range strings.Fields(chosen) {
			k, l, _ := strings.Cut(f, "=")
			if _, twice := out.Permissions[k]; twice || !permission.MatchString(k) || !slices.Contains(levels, l) || len(s.o.Permissions) > 0 && !within(l, s.o.Permissions[k]) {
				return body{}, errors.New("the policy chooses a permission that the configuration does not have")
			}
			out.Permissions[k] = l
		}
		if len(out.Permissions) == 0 {
			return body{}, errors.New("the policy chooses no permission at all")
		}
	}
	return out, nil
}

// within reports whether a level is no more than another; "" is less than all.
func within(level, most string) bool {
	return slices.Index(levels, level) <= slices.Index(levels, most)
}

const (
	behind   = time.Minute     // that GitHub's clock may be
	asserted = 9 * time.Minute // less than the ten that it takes, from then on
)

// Fetch asks for a token.
func (s *Source) Fetch(ctx context.Context, p credentials.Params) (v credentials.Value, err error) {
	fail := func(err error) (credentials.Value, error) {
		return credentials.Value{}, fmt.Errorf("%s: %w", s, err)
	}
	ask, err := s.narrowed(p)
	if err != nil {
		return fail(err)
	}
	by, err := s.o.Signer.Sign(ctx, map[string]any{"iss": s.o.App}, behind, asserted)
	if err != nil {
		return fail(err)
	}
	b, err := json.Marshal(ask)
	if err != nil {
		return fail(err)
	}
	at := s.o.At.Below("app", "installations", s.o.Installation, "access_tokens")
	h := http.Header{"Authorization": {"Bearer " + by}, "Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}, "Content-Type": {"application/json"}}
	a, err := at.Ask(ctx, http.MethodPost, h, b)
	if err != nil {
		return fail(err)
	}
	o, err := a.Object(at.String(), []int{http.StatusCreated}, "", nil)
	if err != nil {
		return fail(err)
	}
	token, err := o.Text("token")
	if err == nil {
		v.Expires, err = o.Time("expires_at")
	}
	if err == nil {
		err = ask.granted(o)
	}
	if err == nil {
		v.Secret, err = credentials.NewSecret([]byte(token))
	}
	if err != nil {
		return fail(err)
	}
	return v, nil
}

// granted is nil for a token that is for no more than was asked for.
func (b body) granted(o endpoint.Object) error {
	if len(b.Permissions) > 0 {
		ps, err := o.Sub("permissions")
		if err != nil {
			return err
		}
		for k := range ps {
			l, err := ps.Text(k)
			if k == "metadata" && l == "read" { // goes with every other
				continue
			}
			if err != nil || !within(l, b.Permissions[k]) || !slices.Contains(levels, l) {
				return errors.New("the token may do more than was asked for, and is not used")
			}
		}
	}
	if len(b.Repositories) == 0 {
		return nil
	}
	if s, err := o.Text("repository_selection"); err != nil || s != "selected" {
		return errors.New("the token is for more repositories than were asked for, and is not used")
	}
	var rs []struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(o["repositories"], &rs) != nil || len(rs) == 0 {
		return errors.New("it does not say for which repositories the token is")
	}
	for _, r := range rs {
		if !slices.ContainsFunc(b.Repositories, func(n string) bool { return strings.EqualFold(n, r.Name) }) {
			return errors.New("the token is for " + strconv.Itoa(len(rs)) + " repositories, not all of which were asked for, and is not used")
		}
	}
	return nil
}
