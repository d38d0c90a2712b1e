package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sallyport/credentials"
	"sallyport/policy"
	"sallyport/proxy/canon"
	"sallyport/proxy/h1"
)

// A Refusal is why something did not happen: what the client is told, and what
// only the operator reads.
type Refusal struct {
	Status   int    // HTTP status
	Code     string // snake_case, listed in the documentation
	Public   string
	Operator string
	Err      error
	After    time.Duration // of a status of 429, when it may be tried again; 0 means a second
	// Close asks that the client's connection not be used again.
	Close bool
}

// Error is for the operator.
func (r *Refusal) Error() string {
	s := r.Code + ": " + r.Public
	if r.Operator != "" {
		s += " (" + r.Operator + ")"
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

func (r *Refusal) Unwrap() error { return r.Err }

func refuse(status int, code, public string) *Refusal {
	return &Refusal{Status: status, Code: code, Public: public}
}

func (r *Refusal) because(err error) *Refusal {
	r.Err = err
	return r
}

func (r *Refusal) closing() *Refusal {
	r.Close = true
	return r
}

func (r *Refusal) operator(format string, a ...any) *Refusal {
	r.Operator = fmt.Sprintf(format, a...)
	return r
}

// refusalOf maps an error to what is answered. It is the only place that does.
func refusalOf(err error) *Refusal {
	var (
		r  *Refusal
		he *h1.Error
		ce *credentials.Error
		pe *canon.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return r
	case errors.As(err, &he):
		return &Refusal{Status: he.Status, Code: he.Code, Public: he.Public, Operator: he.Operator, Close: true}
	case errors.As(err, &pe):
		return &Refusal{Status: http.StatusBadRequest, Code: pe.Code, Public: pe.Public, Close: true}
	case errors.As(err, &ce):
		status := http.StatusForbidden
		if ce.Code == "credential_unavailable" {
			status = http.StatusServiceUnavailable
		}
		return &Refusal{Status: status, Code: ce.Code, Public: ce.Public, Operator: ce.Operator}
	case errors.Is(err, context.Canceled):
		return refuse(499, "canceled", "the client went away").because(err)
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout, "upstream_timeout", "the upstream did not answer in time").because(err)
	}
	return upstreamRefusal(err)
}

// refusalOfDecision is what a decision that does not grant tells the client.
func refusalOfDecision(d *policy.Decision) *Refusal {
	den, ok := d.Refusal()
	if !ok {
		return nil
	}
	return &Refusal{Status: http.StatusForbidden, Code: den.Code, Public: den.Public, Operator: den.Operator}
}

// problem is RFC 9457, and the field that JSON clients such as npm show.
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Code     string `json:"code"`
	Decision string `json:"decision,omitempty"`
	Error    string `json:"error"`
}

// line is what people read.
func (r *Refusal) line(decision string) string {
	s := "sallyport: " + r.Code + ": " + r.Public
	if decision != "" {
		s += " (decision " + decision + ")"
	}
	return s
}

// write answers a refusal in the form that the client can read.
func (r *Refusal) write(w http.ResponseWriter, req *http.Request, decision string) {
	h := w.Header()
	clear(h)
	if decision != "" {
		h.Set("Sallyport-Decision", decision)
	}
	if r.Close && req.ProtoMajor == 1 {
		h.Set("Connection", "close")
	}
	if r.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", fmt.Sprint(int64(r.after()/time.Second)))
	}
	if r.Status == http.StatusProxyAuthRequired {
		h["Proxy-Authenticate"] = []string{`Basic realm="sallyport"`, `Bearer realm="sallyport"`}
	}
	line := r.line(decision)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	t := req.Header.Get("Content-Type")
	if kind := canon.GRPCOf(t); kind != canon.NoGRPC && r.Status != http.StatusProxyAuthRequired { // that is for what is below gRPC to read
		r.writeGRPC(w, kind, t, decision)
		return
	}
	status := r.Status
	if status == 499 {
		status = http.StatusBadGateway
	}
	body := []byte(line + "\n")
	ct := "text/plain; charset=utf-8"
	if wantsJSON(req.Header.Values("Accept")) {
		ct = "application/problem+json"
		body, _ = json.Marshal(problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: r.Public, Code: r.Code, Decision: decision, Error: line})
		body = append(body, '\n')
	}
	h.Set("Content-Type", ct)
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func wantsJSON(accept []string) bool {
	for _, a := range accept {
		for v := range strings.SplitSeq(a, ",") {
			t, _, _ := strings.Cut(strings.TrimSpace(v), ";")
			if t = strings.TrimSpace(t); t == "application/json" || strings.HasSuffix(t, "+json") {
				return true
			}
		}
	}
	return false
}
