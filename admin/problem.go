package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// A Problem is an error of the API: RFC 9457.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func fail(w http.ResponseWriter, err error) {
	status, code := http.StatusInternalServerError, "internal"
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		status, code = http.StatusRequestEntityTooLarge, "too_large"
	case errors.Is(err, ErrInvalid):
		status, code = http.StatusBadRequest, "invalid"
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrNoDecision), errors.Is(err, ErrNoCredential), errors.Is(err, errNoRoute):
		status, code = http.StatusNotFound, "not_found"
	case errors.Is(err, ErrConflict):
		status, code = http.StatusConflict, "conflict"
	}
	detail := strings.TrimPrefix(err.Error(), code+": ") // which stands beside it
	answer(w, status, Problem{Code: code, Detail: detail})
}

var errNoRoute = errors.New("it has no such route")

func answer(w http.ResponseWriter, status int, v any) {
	ct := "application/json"
	if p, ok := v.(Problem); ok {
		p.Status, p.Title, v = status, http.StatusText(status), p
		v, ct = p, "application/problem+json"
	}
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"code":"internal"}`)
	}
	w.Header().Set("Content-Type", ct)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
