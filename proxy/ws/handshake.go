package ws

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455, 4.2.2 says so; it is no secret
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// NewKey is a key for a handshake.
func NewKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return base64.StdEncoding.EncodeToString(b[:])
}

// Accept is what answers a key: RFC 6455, 4.2.2.
func Accept(key string) string {
	h := sha1.Sum([]byte(key + guid)) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(h[:])
}

// Asked reports whether a request wants to switch to a WebSocket and to nothing
// else. The rest of its handshake may still be wrong: see CheckRequest.
func Asked(h http.Header) bool {
	up := h["Upgrade"]
	return len(up) == 1 && strings.EqualFold(strings.Trim(up[0], " \t"), "websocket") && httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade")
}

// CheckRequest says what is wrong with a handshake's fields: RFC 6455, 4.2.1. It
// removes the offer of extensions, so that frames are what they seem.
func CheckRequest(h http.Header) error {
	delete(h, "Sec-Websocket-Extensions")
	switch {
	case len(h["Sec-Websocket-Version"]) != 1 || h["Sec-Websocket-Version"][0] != "13":
		return errors.New("the version of a WebSocket is 13")
	case len(h["Sec-Websocket-Key"]) != 1 || !isKey(h["Sec-Websocket-Key"][0]):
		return errors.New("Sec-WebSocket-Key is not one of 16 bytes")
	case len(h["Sec-Websocket-Accept"]) > 0:
		return errors.New("Sec-WebSocket-Accept belongs into an answer")
	}
	seen := map[string]bool{}
	for _, p := range protocols(h) {
		if !token(p) || seen[p] {
			return errors.New("Sec-WebSocket-Protocol is not a list of different names")
		}
		seen[p] = true
	}
	return nil
}

// CheckAnswer says why a 101 does not switch to the WebSocket that was asked for,
// by a request with this header: RFC 6455, 4.1.
func CheckAnswer(answer, request http.Header) error {
	key := request.Get("Sec-Websocket-Key")
	chosen := answer["Sec-Websocket-Protocol"]
	switch {
	case !Asked(answer):
		return errors.New("it does not say that it switches to a WebSocket")
	case len(answer["Sec-Websocket-Accept"]) != 1 || strings.TrimSpace(answer["Sec-Websocket-Accept"][0]) != Accept(key):
		return errors.New("its Sec-WebSocket-Accept does not answer the key")
	case len(answer["Sec-Websocket-Extensions"]) > 0:
		return errors.New("it uses an extension that was not offered")
	case len(chosen) > 1 || len(chosen) == 1 && !slices.Contains(protocols(request), chosen[0]):
		return errors.New("it chose a protocol that was not offered")
	}
	return nil
}

func isKey(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) == 16 && len(s) == 24
}

func protocols(h http.Header) (out []string) {
	for _, v := range h["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(v, ",") {
			out = append(out, strings.Trim(p, " \t"))
		}
	}
	return out
}

func token(s string) bool {
	for _, c := range s {
		if !httpguts.IsTokenRune(c) {
			return false
		}
	}
	return s != ""
}
