package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"sallyport/policy"
	"sallyport/proxy/canon"
)

// judging has rules for messages, which allow all.
type judging struct{ Decider }

func (judging) Has(ph policy.Phase) bool { return ph == policy.Message }

func (judging) Decide(context.Context, *policy.Question) *policy.Decision { return &policy.Decision{} }

// message is a frame of gRPC.
func message(flags byte, text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(text)))) + text
}

// hostile 360: where messages are judged, a frame that says it is the trailer of
// gRPC-web passes unjudged only where that is what it can be: once, at the end of an
// answer of gRPC-web.
func TestTrailersAreNoMessages(t *testing.T) {
	trailer, long := message(0x80, "grpc-status:0\r\n"), message(0x80, strings.Repeat("x", 65<<10))
	for name, c := range map[string]struct {
		kind     canon.GRPC
		toOrigin bool
		body     string
		passes   int // bytes
	}{
		"of gRPC-web":               {canon.GRPCWeb, false, message(0, "a") + trailer, 6 + len(trailer)},
		"compressed":                {canon.GRPCWeb, false, message(0x81, "a"), 6},
		"something behind it":       {canon.GRPCWeb, false, trailer + message(0, "a"), len(trailer)},
		"two":                       {canon.GRPCWeb, false, trailer + trailer, len(trailer)},
		"longer than any":           {canon.GRPCWeb, false, long, 0},
		"of gRPC":                   {canon.GRPCPlain, false, message(0, "a") + trailer, 6},
		"of a request":              {canon.GRPCPlain, true, trailer, 0},
		"of a request of gRPC-web":  {canon.GRPCWeb, true, message(0, "a") + trailer, 6},
		"of a request, and a trick": {canon.GRPCWeb, true, message(0x81, "a"), 0},
	} {
		g := &Gate{}
		g.ward.Store(&ward{policy: judging{}})
		x := &exchange{gate: g, ward: g.ward.Load(), flow: &flow{gate: g}, facts: &policy.RequestFacts{}}
		x.r = httptest.NewRequest("POST", "/", nil)
		r, err := x.calls(strings.NewReader(c.body), map[canon.GRPC]string{canon.GRPCPlain: "application/grpc", canon.GRPCWeb: "application/grpc-web+proto"}[c.kind], c.toOrigin)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		_, err = io.Copy(&got, r)
		var ref *Refusal
		if got.Len() != c.passes || (err == nil) != (c.passes == len(c.body)) || err != nil && (!errors.As(err, &ref) || ref.Code != policy.CodeUncertain) {
			t.Errorf("%s: %d of %d bytes, %v", name, got.Len(), len(c.body), err)
		}
	}
}

// begins judges messages when it is told to.
type begins struct {
	judging
	now *atomic.Bool
}

func (b begins) Has(ph policy.Phase) bool { return b.now.Load() && b.judging.Has(ph) }

// hostile 368: what has begun to pass when messages come to be judged does not go on
// unjudged: the rest of a message, or a body of messages that nobody can judge.
func TestCallsThatBeganUnjudged(t *testing.T) {
	for contentType, goesOn := range map[string]bool{"application/grpc": false, "application/grpc-web-text": false, "application/json": true} {
		now := &atomic.Bool{}
		g := &Gate{}
		g.ward.Store(&ward{policy: begins{now: now}})
		x := &exchange{gate: g, ward: g.ward.Load(), flow: &flow{gate: g}, facts: &policy.RequestFacts{}}
		r, err := x.calls(iotest.OneByteReader(strings.NewReader(message(0, "abc"))), contentType, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 6)); err != nil {
			t.Fatal(contentType, err)
		}
		now.Store(true)
		rest, err := io.ReadAll(r)
		var ref *Refusal
		if refused := errors.As(err, &ref) && ref.Code == policy.CodeUncertain; refused == goesOn || goesOn != (len(rest) == 2) {
			t.Errorf("%s: %q %v", contentType, rest, err)
		}
	}
}
