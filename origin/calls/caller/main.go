// Command caller makes gRPC calls of every shape and prints a line for each: its
// name, and ok or what was wrong.
//
//	caller [-plain] [-until-cut] HOST:PORT [SHAPE…]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sallyport/origin/calls"
)

func main() {
	plain := flag.Bool("plain", false, "without TLS")
	long := flag.Bool("until-cut", false, "read a stream that does not end")
	flag.Parse()
	creds := credentials.NewTLS(nil)
	if *plain {
		creds = insecure.NewCredentials()
	}
	// The name is looked up as by any other client.
	c, err := grpc.NewClient("passthrough:///"+flag.Arg(0), grpc.WithTransportCredentials(creds))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if *long {
		fmt.Println("ended:", said(untilCut(c)))
		return
	}
	shapes := flag.Args()[1:]
	if len(shapes) == 0 {
		shapes = calls.Shapes
	}
	for _, s := range shapes {
		fmt.Println(s, said(calls.Call(context.Background(), c, s)))
	}
}

// said is ok, or the status and its reason.
func said(err error) string {
	if err == nil {
		return "ok"
	}
	return fmt.Sprintf("%v: %s [%s]", status.Code(err), err, calls.Reason(err))
}

// untilCut reads messages until something ends that.
func untilCut(c *grpc.ClientConn) error {
	st, err := c.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, "/"+calls.Name+"/Count")
	if err != nil {
		return err
	}
	if err := errors.Join(st.SendMsg(wrapperspb.Bytes(nil)), st.CloseSend()); err != nil {
		return err
	}
	for n := new(wrapperspb.Int64Value); ; {
		if err := st.RecvMsg(n); err != nil {
			return err
		}
		if n.Value == 1 {
			fmt.Println("reading")
		}
	}
}
