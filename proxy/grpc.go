package proxy

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"sallyport/policy"
	"sallyport/proxy/canon"
)

// Codes of gRPC: google/rpc/code.proto.
const (
	grpcCancelled          = 1
	grpcUnknown            = 2
	grpcInvalidArgument    = 3
	grpcDeadlineExceeded   = 4
	grpcPermissionDenied   = 7
	grpcResourceExhausted  = 8
	grpcFailedPrecondition = 9
	grpcUnimplemented      = 12
	grpcInternal           = 13
	grpcUnavailable        = 14
	grpcUnauthenticated    = 16
)

// maxGRPCMessage bounds what a status says, in bytes: clients bound the header
// that it is in, which says it twice.
const maxGRPCMessage = 1 << 10

// grpcCode is what a refusal is called in gRPC. A client that tries again on
// UNAVAILABLE does so where that can help.
func (r *Refusal) grpcCode() int {
	switch r.Code {
	case "response_too_large":
		return grpcResourceExhausted
	case "connect_timeout":
		return grpcUnavailable
	case "response_unreadable", "upstream_malformed":
		return grpcInternal
	}
	switch r.Status {
	case 499:
		return grpcCancelled
	case http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return grpcInvalidArgument
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return grpcUnauthenticated
	case http.StatusForbidden, http.StatusMisdirectedRequest:
		return grpcPermissionDenied
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return grpcResourceExhausted
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return grpcUnimplemented
	case http.StatusLoopDetected:
		return grpcFailedPrecondition
	case http.StatusInternalServerError:
		return grpcInternal
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return grpcUnavailable
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return grpcDeadlineExceeded
	}
	return grpcUnknown
}

// grpcStatus is a refusal as the fields of a status: what it says is in
// google.rpc.Status too, with the code and the decision as an ErrorInfo, and
// when to try again as a RetryInfo where that is known.
func (r *Refusal) grpcStatus(decision string) [][2]string {
	line := r.line(decision)
	for len(line) > maxGRPCMessage || !utf8.ValidString(line) { // protobuf takes UTF-8 alone
		line = strings.ToValidUTF8(line[:min(len(line), maxGRPCMessage)], "")
	}
	code := r.grpcCode()
	out := [][2]string{{"Grpc-Status", fmt.Sprint(code)}, {"Grpc-Message", grpcEscape(line)}}
	info := &errdetails.ErrorInfo{Reason: r.Code, Domain: "sallyport"}
	if decision != "" {
		info.Metadata = map[string]string{"decision": decision}
	}
	details := []proto.Message{info}
	if r.Status == http.StatusTooManyRequests {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(r.after())})
	}
	st := &status.Status{Code: int32(code), Message: line}
	for _, d := range details {
		a, err := anypb.New(d)
		if err != nil { // a status without details is one all the same
			return out
		}
		st.Details = append(st.Details, a)
	}
	b, err := proto.Marshal(st)
	if err != nil {
		return out
	}
	return append(out, [2]string{"Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(b)})
}

// writeGRPC answers with a status: alone in the header, or as the last frame of
// gRPC-web, which has no trailers.
func (r *Refusal) writeGRPC(w http.ResponseWriter, kind canon.GRPC, contentType, decision string) {
	h := w.Header()
	fields := r.grpcStatus(decision)
	h.Set("Content-Type", "application/grpc")
	if kind == canon.GRPCPlain {
		for _, f := range fields {
			h.Set(f[0], f[1])
		}
		w.WriteHeader(http.StatusOK)
		return
	}
	t, _, _ := strings.Cut(contentType, ";")
	h.Set("Content-Type", strings.TrimSpace(t))
	body := grpcWebTrailer(fields)
	if kind == canon.GRPCWebText {
		body = []byte(base64.StdEncoding.EncodeToString(body))
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// grpcWebTrailer is the frame in which gRPC-web carries trailers.
func grpcWebTrailer(fields [][2]string) []byte {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s:%s\r\n", strings.ToLower(f[0]), f[1])
	}
	out := binary.BigEndian.AppendUint32([]byte{0x80}, uint32(b.Len()))
	return append(out, b.String()...)
}

// grpcEscape percent-encodes as the gRPC over HTTP/2 protocol says of Status-Message.
func grpcEscape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// after is when what was too much may be tried again, in whole seconds.
func (r *Refusal) after() time.Duration {
	return max(time.Second, (r.After + time.Second - 1).Truncate(time.Second))
}

// method makes the fact of what a gRPC request calls.
func method(f *policy.RequestFacts, query bool) error {
	if canon.GRPCOf(f.ContentType) == canon.NoGRPC {
		return nil
	}
	service, name, err := canon.Method(f.Method, f.PathRaw, query)
	if err != nil {
		return err
	}
	f.GRPC = &policy.GRPC{Service: service, Method: name}
	return nil
}
