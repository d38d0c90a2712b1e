package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// An OlderCA was in force before. What trusts it trusts, until it ends, what the
// one in force makes.
type OlderCA struct {
	SHA256 string    `json:"sha256"`
	Until  time.Time `json:"until"`
}

// A Rotate asks for a new CA; the zero Rotate is good.
type Rotate struct {
	// Days is how long it is good; 0 means a year.
	Days int `json:"days,omitempty"`
	// Force lets it be when what trusts an older CA would not trust the new one.
	Force bool `json:"force,omitempty"`
}

// MaxDays bounds how long a CA is good.
const MaxDays = 3650

// Rotated is what a rotation came to.
type Rotated struct {
	CA    string    `json:"ca"` // PEM: what is to be trusted inside from now on
	Older []OlderCA `json:"ca_older,omitempty"`
	// Lost lead to the CA no more: what trusts them alone has no TLS.
	Lost []OlderCA `json:"ca_lost,omitempty"`
}

// RotateCA puts a new CA in the place of the sidecar's.
func (c *Client) RotateCA(ctx context.Context, in Rotate) (out Rotated, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/ca/rotate", in, &out)
	return out, err
}

func (s *Server) rotate(w http.ResponseWriter, r *http.Request, a Actor) error {
	var in Rotate
	if err := read(r, &in); err != nil {
		return err
	}
	if in.Days < 0 || in.Days > MaxDays {
		return fmt.Errorf("%w: days %d: expected 1 to %d", ErrInvalid, in.Days, MaxDays)
	}
	out, err := s.Keeper.RotateCA(r.Context(), a, in)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, out)
	return nil
}
