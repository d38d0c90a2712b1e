// Command gateway is an example of a service to which sallyport sends what goes
// to some destinations (via): it verifies who asks and answers what it was told.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "`ADDRESS:PORT` to listen on")
	key := flag.String("key", "", "`FILE` of the key that via signs with")
	cert := flag.String("cert", "", "PEM `FILE` of a certificate for TLS")
	certKey := flag.String("cert-key", "", "PEM `FILE` of its key")
	flag.Parse()
	if err := serve(*listen, *key, *cert, *certKey); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func serve(listen, keyFile, cert, certKey string) error {
	secret, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if cert != "" {
		c, err := tls.LoadX509KeyPair(cert, certKey)
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{c}})
	}
	fmt.Println("listening on", l.Addr())
	s := &http.Server{Handler: answer(newVerifier(bytes.TrimSpace(secret))), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	return s.Serve(l)
}

// answer tells what a verified request is, instead of carrying it on.
func answer(v *verifier) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
			return
		}
		c, err := v.verify(r, body)
		if err != nil {
			http.Error(w, "not verified: "+err.Error(), http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"verified": true, "context": c, "method": r.Method, "path": r.URL.EscapedPath(), "query": r.URL.RawQuery,
			"forwarded": r.Header.Get("Forwarded"), "authorization": r.Header.Get("Authorization"), "body": string(body)})
	})
}
