package views

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// maxCodings is how many codings, one in another, are undone.
const maxCodings = 2

var (
	errLarge  = errors.New("what comes out of the coding is too large")
	errCoding = errors.New("the coding is not undone in one way")
)

// decoding bounds the memory of decoders: so many work at once.
var decoding = make(chan struct{}, runtime.GOMAXPROCS(0))

// Decode undoes the codings of Content-Encoding. It is an error where servers may
// read otherwise: what follows the end, a second member, a coding that is not known,
// or a text that a server which undoes no coding would read as it is (hostile 82).
func Decode(codings []string, b []byte) ([]byte, error) {
	names := namesOf(codings)
	if len(names) == 0 {
		return b, nil
	}
	if len(names) > maxCodings || readable(b) {
		return nil, errCoding
	}
	decoding <- struct{}{}
	defer func() { <-decoding }()
	for i := len(names) - 1; i >= 0; i-- { // RFC 9110, 8.4: listed in the order in which they were applied
		var err error
		if b, err = undo(names[i], b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// namesOf are the codings of a field but for those that change nothing.
func namesOf(codings []string) (names []string) {
	for _, line := range codings {
		for c := range strings.SplitSeq(line, ",") {
			c = strings.ToLower(strings.TrimSpace(c))
			if c != "" && c != "identity" {
				names = append(names, c)
			}
		}
	}
	return names
}

func coded(codings []string) bool { return len(namesOf(codings)) > 0 }

// readable reports whether bytes are a text that somebody could read as it is.
func readable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c >= 0x7f {
			return false
		}
	}
	return true
}

func undo(coding string, b []byte) ([]byte, error) {
	in := bytes.NewReader(b)
	var r io.Reader
	var err error
	switch coding {
	case "gzip", "x-gzip":
		z, zerr := gzip.NewReader(in)
		if zerr != nil {
			return nil, errCoding
		}
		z.Multistream(false) // some read the first member and stop
		r = z
	case "deflate": // zlib, RFC 9110, 8.4.1.2; what some send instead has no beginning that tells it from a text
		r, err = zlib.NewReader(in)
	case "br":
		if wide(b) {
			return nil, errCoding
		}
		r = brotli.NewReader(in)
	case "zstd":
		return unzstd(b)
	default:
		return nil, errCoding
	}
	if err != nil {
		return nil, errCoding
	}
	out, err := io.ReadAll(io.LimitReader(r, Limit+1))
	switch {
	case len(out) > Limit:
		return nil, errLarge
	case err != nil || in.Len() > 0:
		return nil, errCoding
	}
	return out, nil
}

// wide reports whether a stream of brotli may want a window of more than 4 MiB:
// RFC 7932, 9.1.
func wide(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0]&1 == 0 {
		return false // 16
	}
	switch n := b[0] >> 1 & 7; n {
	case 0:
		return false // 17 or fewer, or no brotli
	default:
		return 17+n > 22
	}
}

// zstdDecoder takes windows as they are common, and no more memory than that.
var zstdDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(8<<20))

// unzstd undoes zstd. There is one frame and nothing else: RFC 8878, 3.1.1.
func unzstd(b []byte) ([]byte, error) {
	if !oneFrame(b) {
		return nil, errCoding
	}
	out, err := zstdDecoder.DecodeAll(b, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || err == nil && len(out) > Limit:
		return nil, errLarge
	case err != nil:
		return nil, errCoding
	}
	return out, nil
}

// oneFrame goes over the blocks of a frame: each says how long it is, and the last
// that it is the last.
func oneFrame(b []byte) bool {
	var h zstd.Header
	if err := h.Decode(b); err != nil || h.Skippable {
		return false
	}
	at := h.HeaderSize
	for {
		if len(b) < at+3 {
			return false
		}
		block := int(b[at]) | int(b[at+1])<<8 | int(b[at+2])<<16
		size := block >> 3
		if block>>1&3 == 1 { // one byte, so many times
			size = 1
		}
		if at += 3 + size; block&1 == 1 {
			break
		}
	}
	if h.HasCheckSum {
		at += 4
	}
	return at == len(b)
}
