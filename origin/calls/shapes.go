package calls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Shapes are the names that Call knows.
var Shapes = []string{"unary", "client", "server", "bidi", "first", "error", "deadline", "cancel", "large", "many", "gzip"}

// Call makes the calls of a shape and says what was wrong with them.
func Call(ctx context.Context, c *grpc.ClientConn, shape string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	switch shape {
	case "unary":
		return unary(ctx, c, []byte("hello"))
	case "client":
		return client(ctx, c)
	case "server":
		return server(ctx, c)
	case "bidi":
		return bidi(ctx, c, "Chat")
	case "first":
		return bidi(ctx, c, "Greet")
	case "error":
		err := c.Invoke(ctx, method("Fail"), wrapperspb.Bytes(nil), new(in))
		if st := status.Convert(err); st.Code() != codes.FailedPrecondition || st.Message() != "no: 100 % ünmöglich" || Reason(err) != "origin ORIGIN" {
			return fmt.Errorf("%w (%s)", err, Reason(err))
		}
		return nil
	case "deadline":
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if err := c.Invoke(ctx, method("Wait"), wrapperspb.Bytes(nil), new(in)); status.Code(err) != codes.DeadlineExceeded {
			return fmt.Errorf("not DEADLINE_EXCEEDED: %w", err)
		}
		return nil
	case "cancel":
		return canceled(ctx, c)
	case "large":
		return unary(ctx, c, bytes.Repeat([]byte("0123456789abcdef"), 1<<19))
	case "many":
		return many(ctx, c)
	case "gzip":
		return unary(ctx, c, bytes.Repeat([]byte("again "), 1000), grpc.UseCompressor("gzip"))
	}
	return fmt.Errorf("there is no %q", shape)
}

func method(name string) string { return "/" + Name + "/" + name }

// Reason is the domain and reason of a status's ErrorInfo.
func Reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i.Domain + " " + i.Reason
		}
	}
	return ""
}

func unary(ctx context.Context, c *grpc.ClientConn, b []byte, opts ...grpc.CallOption) error {
	var h, t metadata.MD
	out := new(in)
	ctx = metadata.AppendToOutgoingContext(ctx, "x-bin-bin", "\x00\xff")
	opts = append(opts, grpc.Header(&h), grpc.Trailer(&t), grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage))
	if err := c.Invoke(ctx, method("Echo"), wrapperspb.Bytes(b), out, opts...); err != nil {
		return err
	}
	if !bytes.Equal(out.Value, b) || len(h["x-bin-bin"]) != 1 || h["x-bin-bin"][0] != "\x00\xff" || len(t["x-end"]) != 1 {
		return fmt.Errorf("%d bytes, %v, %v", len(out.Value), h, t)
	}
	return nil
}

func client(ctx context.Context, c *grpc.ClientConn) error {
	st, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, method("Collect"))
	if err != nil {
		return err
	}
	for range 100 {
		if err := st.SendMsg(wrapperspb.Bytes(make([]byte, 1000))); err != nil {
			return err
		}
	}
	n := new(wrapperspb.Int64Value)
	if err := errors.Join(st.CloseSend(), st.RecvMsg(n)); err != nil || n.Value != 100_000 {
		return fmt.Errorf("%d bytes: %w", n.Value, err)
	}
	return nil
}

func server(ctx context.Context, c *grpc.ClientConn) error {
	st, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method("Count"))
	if err != nil {
		return err
	}
	if err := errors.Join(st.SendMsg(wrapperspb.Bytes(make([]byte, 50))), st.CloseSend()); err != nil {
		return err
	}
	for i := range int64(51) {
		n := new(wrapperspb.Int64Value)
		err := st.RecvMsg(n)
		if i == 50 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || n.Value != i {
			return fmt.Errorf("message %d: %d %w", i, n.Value, err)
		}
	}
	return errors.New("it does not end")
}

// bidi waits for the header where that comes first, then takes turns.
func bidi(ctx context.Context, c *grpc.ClientConn, name string) error {
	st, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method(name))
	if err != nil {
		return err
	}
	if name == "Greet" {
		if h, err := st.Header(); err != nil || len(h["x-first"]) != 1 { // a status alone has none
			return errors.Join(err, st.RecvMsg(new(in)), fmt.Errorf("header %v", h))
		}
	}
	for i := range 20 {
		text, out := fmt.Sprint(i), new(in)
		if err := st.SendMsg(wrapperspb.Bytes([]byte(text))); err != nil {
			return err
		}
		if err := st.RecvMsg(out); err != nil || string(out.Value) != text {
			return fmt.Errorf("turn %d: %q %w", i, out.Value, err)
		}
	}
	if err := st.CloseSend(); err != nil {
		return err
	}
	if err := st.RecvMsg(new(in)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("at its end: %w", err)
	}
	return nil
}

// canceled gives a stream up in its midst.
func canceled(ctx context.Context, c *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method("Count"))
	if err != nil {
		return err
	}
	n := new(wrapperspb.Int64Value)
	if err := errors.Join(st.SendMsg(wrapperspb.Bytes(nil)), st.CloseSend(), st.RecvMsg(n)); err != nil {
		return err
	}
	cancel()
	for err == nil {
		err = st.RecvMsg(n)
	}
	if status.Code(err) != codes.Canceled {
		return fmt.Errorf("not CANCELED: %w", err)
	}
	return nil
}

// many makes calls of all kinds at once.
func many(ctx context.Context, c *grpc.ClientConn) error {
	var wg sync.WaitGroup
	errs := make([]error, 150)
	for i := range errs {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				errs[i] = unary(ctx, c, bytes.Repeat([]byte{byte(i)}, 1000*i))
			case 1:
				errs[i] = bidi(ctx, c, "Greet")
			default:
				errs[i] = server(ctx, c)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
