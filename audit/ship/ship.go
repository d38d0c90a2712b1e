// Package ship brings the records of a log to where others read them: in order,
// each at least once, and never in the way of a request.
package ship

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Record is one line of the log.
type Record struct {
	Line     []byte // JSON, without an end
	Sequence uint64
	ID       string // event.id: whoever gets a record twice knows it by this
	Time     time.Time
	Name     string // event.name
	Decision string // policy.decision; "" when it decides nothing
}

// A Sink is where records go. It is for one goroutine.
type Sink interface {
	// Send returns nil when the receiver has all of them, a *RejectedError when it
	// will never take some, and another error when they are to be sent again.
	Send(context.Context, []Record) error
	// Close gives connections up.
	Close() error
	// String names the receiver, without secrets.
	String() string
}

// A RejectedError says that the receiver has the other records of a batch, and will
// never take these.
type RejectedError struct {
	Which []int // of the batch, in order; nil when nobody says which
	Why   string
}

func (e *RejectedError) Error() string { return "the receiver does not take it: " + e.Why }

// A WaitError asks for a pause before the records are sent again.
type WaitError struct {
	For time.Duration
	Err error
}

func (e *WaitError) Error() string { return e.Err.Error() }

func (e *WaitError) Unwrap() error { return e.Err }

// Limits of a batch, and of waiting.
const (
	batchRecords = 500
	batchBytes   = 1 << 20
	sendTimeout  = 30 * time.Second
	minPause     = 200 * time.Millisecond
	maxPause     = 30 * time.Second
	maxWait      = 2 * time.Minute // that a receiver can ask for
)

// Options of a shipper. Name and Dir are required.
type Options struct {
	Name string // of the sink, from the configuration
	Dir  string // where cursors and what was rejected are kept
	// Wants chooses records; nil takes all.
	Wants func(Record) bool
	// Format makes what is sent of a line; nil sends it as it is. The result is kept.
	Format func([]byte) ([]byte, error)
	// Changed is told when the sink begins to fail, and when it works again; err is
	// nil then. It is called by the shipper, which waits for it.
	Changed func(err error)
	// Lost is told of records that the sink will not get, and why.
	Lost func(first, last uint64, why string)
	// Redact takes known secrets out of what receivers say; nil takes it as it is.
	Redact func(string) string
}

// A State is how a sink is.
type State struct {
	Name, Kind string
	Sent       uint64    // the last record that it has
	Behind     uint64    // records that wait, of all
	Rejected   uint64    // since the start
	Err        string    // why it gets nothing now; "" when it does
	Since      time.Time // of Err
	Last       time.Time // when it last took something
}

var errStopped = errors.New("it is stopped")

// describe is an error of a batch, for people.
func describe(rs []Record, err error) string {
	if len(rs) == 1 {
		return fmt.Sprintf("record %d: %v", rs[0].Sequence, err)
	}
	return fmt.Sprintf("records %d to %d: %v", rs[0].Sequence, rs[len(rs)-1].Sequence, err)
}
