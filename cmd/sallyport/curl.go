package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// A tried is a request as somebody writes it on a command line.
type tried struct {
	method, url string
	header      http.Header
	body        []byte
	h2          bool
}

// curlTakes are the options of curl that change what is sent and have a value;
// curlSkips those with a value, and curlFlags those without, that do not.
var (
	curlTakes = []string{"-X", "--request", "-H", "--header", "-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--data-urlencode", "--json", "-F", "--form", "-u", "--user", "-A", "--user-agent",
		"-e", "--referer", "-b", "--cookie", "-T", "--upload-file", "--url", "--oauth2-bearer", "-r", "--range"}
	curlSkips = []string{"-o", "--output", "-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay", "-w", "--write-out", "--cacert", "-D", "--dump-header", "-c", "--cookie-jar", "-x", "--proxy", "--max-redirs", "--limit-rate"}
	curlFlags = []string{"-s", "--silent", "-S", "--show-error", "-L", "--location", "-k", "--insecure", "-v", "--verbose", "-i", "--include", "-f", "--fail", "--fail-with-body", "-O", "--remote-name", "-N", "--no-buffer", "-#",
		"--progress-bar", "-4", "-6", "--http1.1", "--no-keepalive", "--tlsv1.2", "--tlsv1.3", "-g", "--globoff"}
)

// parseCurl reads a command line of curl, without the word curl.
func parseCurl(args []string, stdin io.Reader) (*tried, error) {
	out := &tried{header: http.Header{}}
	var data []string
	head, get, posts := false, false, false
	for args = slices.Clone(args); len(args) > 0; {
		a := args[0]
		args = args[1:]
		if !strings.HasPrefix(a, "-") || a == "-" {
			if out.url != "" {
				return nil, fmt.Errorf("curl: %q is a second URL: ask about one at a time", a)
			}
			out.url = a
			continue
		}
		value, glued := "", false
		if strings.HasPrefix(a, "--") {
			a, value, glued = strings.Cut(a, "=")
		} else if len(a) > 2 { // -XPOST, or -sSL
			switch short := a[:2]; {
			case slices.Contains(curlTakes, short), slices.Contains(curlSkips, short):
				a, value, glued = short, a[2:], true
			default:
				a, args = short, append([]string{"-" + a[2:]}, args...)
			}
		}
		takes := slices.Contains(curlTakes, a)
		if (takes || slices.Contains(curlSkips, a)) && !glued {
			if len(args) == 0 {
				return nil, fmt.Errorf("curl: the value of %s is missing", a)
			}
			value, args = args[0], args[1:]
		}
		switch a {
		case "-X", "--request":
			out.method = value
		case "-H", "--header":
			if err := addHeader(out.header, value); err != nil {
				return nil, err
			}
		case "-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--data-urlencode", "--json":
			text, err := curlData(a, value, stdin)
			if err != nil {
				return nil, err
			}
			data = append(data, text)
			if a == "--json" {
				preset(out.header, "Content-Type", "application/json")
				preset(out.header, "Accept", "application/json")
			}
			posts = true
		case "-F", "--form":
			data, posts = append(data, value), true
			preset(out.header, "Content-Type", "multipart/form-data; boundary=x")
		case "-u", "--user":
			preset(out.header, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(value)))
		case "--oauth2-bearer":
			preset(out.header, "Authorization", "Bearer "+value)
		case "-A", "--user-agent":
			preset(out.header, "User-Agent", value)
		case "-e", "--referer":
			preset(out.header, "Referer", value)
		case "-b", "--cookie":
			preset(out.header, "Cookie", value)
		case "-r", "--range":
			preset(out.header, "Range", "bytes="+value)
		case "-T", "--upload-file":
			text, err := curlData("--data-binary", "@"+value, stdin)
			if err != nil {
				return nil, err
			}
			data = append(data, text)
			if out.method == "" {
				out.method = http.MethodPut
			}
		case "--url":
			out.url = value
		case "-I", "--head":
			head = true
		case "-G", "--get":
			get = true
		case "--http2":
			out.h2 = true
		case "--compressed":
			preset(out.header, "Accept-Encoding", "deflate, gzip, br, zstd")
		default:
			if !takes && !slices.Contains(curlSkips, a) && !slices.Contains(curlFlags, a) {
				return nil, fmt.Errorf("curl: %s is not known here: leave it out if it does not change what is sent", a)
			}
		}
	}
	if out.url == "" {
		return nil, fmt.Errorf("curl: the URL is missing")
	}
	if !strings.Contains(out.url, "://") {
		out.url = "http://" + out.url
	}
	preset(out.header, "Accept", "*/*")
	preset(out.header, "User-Agent", "curl/8.0.0")
	return out, out.finish(data, head, get, posts)
}

// finish makes the method and the body of what was given.
func (s *tried) finish(data []string, head, get, posts bool) error {
	text := strings.Join(data, "&")
	if get {
		u, err := url.Parse(s.url)
		if err != nil {
			return err
		}
		u.RawQuery = strings.Trim(u.RawQuery+"&"+text, "&")
		s.url, text, posts = u.String(), "", false
	}
	s.body = []byte(text)
	if posts {
		preset(s.header, "Content-Type", "application/x-www-form-urlencoded")
	}
	switch {
	case s.method != "":
	case head:
		s.method = http.MethodHead
	case posts:
		s.method = http.MethodPost
	default:
		s.method = http.MethodGet
	}
	return nil
}

// curlData is what an option with data sends: @FILE is read, and - is standard input.
func curlData(option, value string, stdin io.Reader) (string, error) {
	if option == "--data-urlencode" {
		if name, v, ok := strings.Cut(value, "="); ok {
			return strings.TrimPrefix(name+"="+url.QueryEscape(v), "="), nil
		}
		return url.QueryEscape(value), nil
	}
	name, file := strings.CutPrefix(value, "@")
	if !file || option == "--data-raw" {
		return value, nil
	}
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(stdin)
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return "", err
	}
	if option == "--data-binary" || option == "--json" {
		return string(b), nil
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(string(b)), nil
}

func addHeader(h http.Header, s string) error {
	k, v, ok := strings.Cut(s, ":")
	if !ok || strings.TrimSpace(k) == "" {
		return fmt.Errorf("header %q: expected 'NAME: VALUE'", s)
	}
	if v = strings.TrimSpace(v); v == "" {
		h.Del(k)
		return nil
	}
	h.Add(k, v)
	return nil
}

// preset sets a field that was not said otherwise.
func preset(h http.Header, k, v string) {
	if h.Get(k) == "" {
		h.Set(k, v)
	}
}
