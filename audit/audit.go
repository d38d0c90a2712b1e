// Package audit records what was asked, decided and done: durably, in order,
// and so that an edit shows.
package audit

import (
	"errors"
	"os"
	"time"

	"github.com/google/uuid"
)

// Version is the schema of records; it changes when a reader would have to.
const Version = "egress.audit/1"

// NewID returns a UUIDv7: RFC 9562, 5.7.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// ErrUnavailable means that a record could not be made durable. What depends on
// it must not happen.
var ErrUnavailable = errors.New("the audit log is not available")

// Options of a log. The zero Options are good.
type Options struct {
	SegmentBytes int64  // a segment is closed when it is larger; 0 means 64 MiB
	Service      string // version of the program that writes
	// Filter is given each line before it is chained, and takes known secrets out.
	Filter func([]byte) []byte
	// Written is given whole lines with their ends, as they are in the log, in order.
	// It is called by the one writer, which waits for it, and keeps nothing of them.
	// Lines that a failed disk makes the log write again come again; nil is not told.
	Written func(lines []byte)
	// Sync makes a file durable; nil means fdatasync.
	Sync func(*os.File) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Reserve is how many bytes are kept free for the records of a full disk; 0
	// means 1 MiB, less than 0 none.
	Reserve int64
}

func (o Options) or() Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.Written == nil {
		o.Written = func([]byte) {}
	}
	if o.Sync == nil {
		o.Sync = fdatasync
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Reserve == 0 {
		o.Reserve = 1 << 20
	}
	return o
}

// A Receipt names a record.
type Receipt struct {
	ID       string
	Sequence uint64
}
