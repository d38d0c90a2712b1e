package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"sallyport/origin"
)

// hostile 128: a connection to an upstream serves one sandbox, whatever credentials it
// sends, and again only that one.
func TestConnectionsAreOfOneSandbox(t *testing.T) {
	var mu sync.Mutex
	by := map[string]map[string]bool{} // sandboxes that came on a connection
	r := newRig(t, rigging{origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if by[req.RemoteAddr] == nil {
			by[req.RemoteAddr] = map[string]bool{}
		}
		by[req.RemoteAddr][req.Header.Get("X-Sandbox")] = true
		fmt.Fprint(w, "hello")
	})}})
	clients := map[string]*http.Client{}
	for _, name := range []string{"one", "two", "three"} {
		tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.open(name)}), TLSClientConfig: &tls.Config{RootCAs: r.roots}}
		t.Cleanup(tr.CloseIdleConnections)
		clients[name] = &http.Client{Transport: tr}
	}
	for range 4 {
		for name, c := range clients {
			req, err := http.NewRequest("GET", "https://"+r.at("api.example.com")+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Sandbox", name)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	if len(by) != len(clients) {
		t.Errorf("%d connections for %d sandboxes: %v", len(by), len(clients), by)
	}
	for at, names := range by {
		if len(names) != 1 {
			t.Errorf("%s is of %v", at, names)
		}
	}
}
