package proxy_test

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"sallyport/origin"
)

// call makes a request of gRPC or gRPC-web and returns what its answer says in
// header fields, or in the frame that ends it.
func (r *rig) call(t *testing.T, contentType, path string) http.Header {
	t.Helper()
	resp, err := r.client(t, true).Post("https://"+r.at("api.example.com")+path, contentType, strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != contentType || resp.Header.Get("Sallyport-Decision") == "" {
		t.Fatal(resp, err)
	}
	if contentType == "application/grpc" {
		return resp.Header
	}
	if strings.Contains(contentType, "-text") {
		if b, err = base64.StdEncoding.DecodeString(string(b)); err != nil {
			t.Fatal(err)
		}
	}
	if len(b) < 5 || b[0] != 0x80 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-5 {
		t.Fatalf("%q is no frame of trailers", b)
	}
	out := http.Header{}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b[5:]), "\r\n"), "\r\n") {
		k, v, _ := strings.Cut(line, ":")
		if k != strings.ToLower(k) {
			t.Errorf("%q is not in lower case", k)
		}
		out.Set(k, v)
	}
	return out
}

// A refusal is a status in each form of gRPC, with the same details.
func TestGRPCRefusals(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, rigging{requests: 1, policy: `package egress

allow if input.request.path == "/a.B/Hold"

deny contains {"code": "not_this", "public": "100 % \u00fcmm"} if input.request.path == "/a.B/Deny"
`, origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-release
	})}})
	defer close(release)
	want := func(contentType, path, code, reason, message string, retry bool) {
		t.Helper()
		h := r.call(t, contentType, path)
		b, err := base64.RawStdEncoding.DecodeString(h.Get("Grpc-Status-Details-Bin"))
		var st status.Status
		if err != nil || proto.Unmarshal(b, &st) != nil || len(st.Details) == 0 {
			t.Fatal(h, err)
		}
		var info errdetails.ErrorInfo
		var again errdetails.RetryInfo
		if st.Details[0].UnmarshalTo(&info) != nil || info.Reason != reason || info.Domain != "sallyport" || info.Metadata["decision"] == "" || h.Get("Grpc-Status") != code || !strings.HasPrefix(h.Get("Grpc-Message"), message) {
			t.Errorf("%s %s: %v %v", contentType, path, h, &st)
		}
		if (len(st.Details) == 2 && st.Details[1].UnmarshalTo(&again) == nil && again.RetryDelay.AsDuration() > 0) != retry {
			t.Errorf("%s %s: when to try again: %v", contentType, path, &st)
		}
		if n := r.found(map[string]string{"event.id": info.Metadata["decision"], "policy.code": reason}); len(n) != 1 {
			t.Errorf("%s is not recorded", reason)
		}
	}
	for _, form := range []string{"application/grpc", "application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"} {
		want(form, "/a.B/Other", "7", "default_deny", "sallyport: default_deny: no rule allows this (decision ", false)
		want(form, "/a.B/Deny", "7", "not_this", "sallyport: not_this: 100 %25 %C3%BCmm (decision ", false)
		want(form, "/a/../b", "3", "path_invalid", "sallyport: path_invalid: ", false)
	}
	resp, err := r.client(t, true).Post("https://"+r.at("api.example.com")+"/a.B/Hold", "application/grpc", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	want("application/grpc", "/a.B/Other", "8", "too_many_requests", "sallyport: too_many_requests: ", true)
}
