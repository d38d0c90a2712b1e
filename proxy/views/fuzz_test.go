package views

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"reflect"
	"testing"

	"sallyport/policy"
)

// Whatever is read is what a server in Go reads, to the last part.
func FuzzRead(f *testing.F) {
	for _, s := range [][3]string{
		{"application/json", "", `{"query": "{ a }", "id": 1}`},
		{"application/json", "gzip", gz(`[1]`)},
		{"application/x-www-form-urlencoded", "", "a=1&b=%20"},
		{"application/x-www-form-urlencoded", "deflate", zl("a=1")},
		{"multipart/form-data; boundary=b", "", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n\r\n--b--\r\n"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, contentType, coding, body string) {
		facts := &policy.RequestFacts{ContentType: contentType}
		var codings []string
		if coding != "" {
			codings = []string{coding}
		}
		Read(facts, codings, []byte(body), everything)
		plain := theirs(t, coding, body)
		if facts.BodyState == policy.BodyParsed {
			var v any
			d := json.NewDecoder(bytes.NewReader(plain))
			d.UseNumber()
			if err := d.Decode(&v); err != nil || !reflect.DeepEqual(v, facts.Body) {
				t.Errorf("%q is read as %v, not as %v %v", plain, facts.Body, v, err)
			}
		}
		if facts.Form != nil {
			if q, err := url.ParseQuery(string(plain)); err != nil || !reflect.DeepEqual(map[string][]string(q), facts.Form) {
				t.Errorf("%q is read as %v, not as %v %v", plain, facts.Form, q, err)
			}
		}
		if facts.Multipart != nil {
			_, params, err := mime.ParseMediaType(contentType)
			if err != nil {
				t.Fatal(err)
			}
			r := multipart.NewReader(bytes.NewReader(plain), params["boundary"])
			for _, p := range facts.Multipart {
				got, err := r.NextRawPart()
				if err != nil {
					t.Fatalf("%q: %v, with %+v", plain, err, p)
				}
				b, err := io.ReadAll(got)
				if err != nil || got.FormName() != p.Name || int64(len(b)) != p.Size || p.Value != nil && string(b) != *p.Value || got.Header.Get("Content-Type") != p.ContentType {
					t.Errorf("%q is read as %+v, not as %v %q", plain, p, got.Header, b)
				}
			}
			if p, err := r.NextRawPart(); err != io.EOF { //nolint:errorlint // as it is
				t.Errorf("%q: one more part, %v %v", plain, p, err)
			}
		}
	})
}

// theirs undoes a coding by other decoders.
func theirs(t *testing.T, coding, body string) []byte {
	var r io.Reader
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader([]byte(body)))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader([]byte(body)))
	case "":
		return []byte(body)
	default:
		b, err := Decode([]string{coding}, []byte(body))
		if err != nil {
			return nil
		}
		return b
	}
	if err != nil {
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(r, Limit+1))
	return b
}
