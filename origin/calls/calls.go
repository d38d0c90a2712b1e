// Package calls is a gRPC service of every shape, for tests, and a client of it.
package calls

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // messages that come in it are understood
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Name is what the service is called.
const Name = "calls.v1.Calls"

// MaxMessage is the largest message that either side takes, in bytes.
const MaxMessage = 32 << 20

// A Server is the service, and what it saw. It is safe for concurrent use.
type Server struct {
	// Canceled counts the calls whose end the client did not wait for.
	Canceled atomic.Int64
	// Begun counts calls.
	Begun atomic.Int64
	// Coded counts calls whose messages came compressed.
	Coded atomic.Int64

	s *grpc.Server
}

// New makes the service. Its handler speaks gRPC over HTTP/2 only.
func New() *Server {
	s := &Server{s: grpc.NewServer(grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage))}
	s.s.RegisterService(&desc, s)
	return s
}

// ServeHTTP answers what is gRPC, and 415 all else.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		http.Error(w, "gRPC is spoken here", http.StatusUnsupportedMediaType)
		return
	}
	s.Begun.Add(1)
	if r.Header.Get("Grpc-Encoding") == "gzip" {
		s.Coded.Add(1)
	}
	s.s.ServeHTTP(w, r)
}

// Stop ends the service and what is under way.
func (s *Server) Stop() { s.s.Stop() }

var desc = grpc.ServiceDesc{
	ServiceName: Name,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Echo", Handler: echo},
		{MethodName: "Fail", Handler: fail},
		{MethodName: "Wait", Handler: wait},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Collect", Handler: collect, ClientStreams: true},
		{StreamName: "Count", Handler: count, ServerStreams: true},
		{StreamName: "Chat", Handler: chat, ServerStreams: true, ClientStreams: true},
		{StreamName: "Greet", Handler: greet, ServerStreams: true, ClientStreams: true},
	},
}

type in = wrapperspb.BytesValue

// echo sends back what it got, and what it was told in x-told as a header.
func echo(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	m := new(in)
	if err := dec(m); err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	_ = grpc.SetHeader(ctx, metadata.MD{"x-told": md["authorization"], "x-bin-bin": md["x-bin-bin"]})
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-end", "told"))
	return m, nil
}

// fail answers with a status alone.
func fail(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := dec(new(in)); err != nil {
		return nil, err
	}
	st, err := status.New(codes.FailedPrecondition, "no: 100 % ünmöglich").WithDetails(&errdetails.ErrorInfo{Reason: "ORIGIN", Domain: "origin"})
	if err != nil {
		return nil, err
	}
	return nil, st.Err()
}

// wait answers when the call is given up.
func wait(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := dec(new(in)); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		srv.(*Server).Canceled.Add(1)
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-time.After(time.Minute):
		return new(in), nil
	}
}

// collect answers with the end of what it got and how much that was.
func collect(_ any, st grpc.ServerStream) error {
	var n int64
	for {
		m := new(in)
		err := st.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return st.SendMsg(wrapperspb.Int64(n))
		}
		if err != nil {
			return err
		}
		n += int64(len(m.Value))
	}
}

// count sends as many messages as the first one has bytes, and goes on for ever
// when that has none.
func count(srv any, st grpc.ServerStream) error {
	m := new(in)
	if err := st.RecvMsg(m); err != nil {
		return err
	}
	for i := 0; len(m.Value) == 0 || i < len(m.Value); i++ {
		if err := st.SendMsg(wrapperspb.Int64(int64(i))); err != nil {
			srv.(*Server).Canceled.Add(1)
			return err
		}
		if len(m.Value) > 0 {
			continue
		}
		select {
		case <-st.Context().Done():
			srv.(*Server).Canceled.Add(1)
			return st.Context().Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// chat sends each message back when it comes.
func chat(srv any, st grpc.ServerStream) error {
	for {
		m := new(in)
		err := st.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			srv.(*Server).Canceled.Add(1)
			return err
		}
		if err := st.SendMsg(m); err != nil {
			return err
		}
	}
}

// greet sends its header before it reads, and chats then.
func greet(srv any, st grpc.ServerStream) error {
	if err := st.SendHeader(metadata.Pairs("x-first", "hello")); err != nil {
		return err
	}
	return chat(srv, st)
}
