package main

import (
	"strings"
	"time"

	"sallyport/admin"
)

// told is what the sidecar says of itself.
func (s *side) told() (admin.Status, error) {
	if s.asked == nil {
		s.asked = admin.NewClient(s.control)
	}
	return s.asked.Status(s.t.Context())
}

// policy is what the sidecar says of one.
func (s *side) policy(name string) admin.Policy {
	st, err := s.told()
	if err != nil {
		return admin.Policy{}
	}
	for _, p := range st.Policies {
		if p.Name == name {
			return p
		}
	}
	return admin.Policy{}
}

// reasons is why the sidecar is not as it should be.
func (s *side) reasons() string {
	st, err := s.told()
	if err != nil {
		return err.Error()
	}
	return strings.Join(st.Reasons, "\n")
}

// until waits for something of the sidecar, at most half a minute.
func (s *side) until(what string, done func() bool) {
	s.t.Helper()
	for range 1500 {
		if done() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("%s: %s\n%s", what, s.reasons(), s.b.out)
}
