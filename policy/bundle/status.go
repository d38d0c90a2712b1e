package bundle

import (
	"maps"
	"time"
)

// A Status is how a source stands, in the shape of OPA's. Zero times are never.
type Status struct {
	Sum        string    // SHA-256 of the bundle that is in force; "" is none
	Size       int       // in bytes, packed
	Activated  time.Time // when one was last put in force
	Downloaded time.Time // when one last came whole
	Answered   time.Time // when the source last said what there is
	Asked      time.Time // when it was last asked, and had answered or failed
	Waits      bool      // it waits for what is new
	Status     int       // of HTTP, the last
	Err        *Error    // what is wrong since it was last asked; nil is nothing
	Counts     map[Event]int
}

func (s Status) clone() Status {
	s.Counts = maps.Clone(s.Counts)
	return s
}
