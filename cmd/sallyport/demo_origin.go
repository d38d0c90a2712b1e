package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/origin"
)

// demoOriginCommand is a service for the sandboxes of docker-compose.yml to reach.
func demoOriginCommand() *cobra.Command {
	var dir, address string
	var tlsPort, plainPort int
	cmd := &cobra.Command{
		Use:    "demo-origin --keep DIR",
		Hidden: true,
		Short:  "An HTTPS service whose orders are shown to who has its token",
		Long: `demo-origin makes a token and a CA in DIR, or takes those that are there: the
files token and ca.pem are for a sidecar. /orders asks for the token; every other
path answers anybody.`,
		Example: "  sallyport demo-origin --keep /run/origin --address 0.0.0.0 --tls-port 8443 --port 8080",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&dir, "keep", "", "keep the token and the CA in `DIR`")
	cmd.Flags().StringVar(&address, "address", "127.0.0.1", "listen on `ADDRESS`")
	cmd.Flags().IntVar(&tlsPort, "tls-port", 8443, "serve HTTPS on port `N`")
	cmd.Flags().IntVar(&plainPort, "port", 8080, "serve HTTP on port `N`")
	_ = cmd.MarkFlagRequired("keep")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		token, err := keptToken(filepath.Join(dir, "token"))
		if err != nil {
			return err
		}
		o, err := origin.Start(origin.Options{Handler: orders(token), Address: address, TLSPort: tlsPort, PlainPort: plainPort, Keep: dir})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "serving https on port %d\n", o.TLSPort)
		<-cmd.Context().Done()
		o.Close()
		return nil
	}
	return cmd
}

// keptToken reads a token, or makes one.
func keptToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	token := "demo-" + rand.Text()
	return token, os.WriteFile(path, []byte(token+"\n"), 0o600)
}

// orders answers, and echoes what it was sent as proof of it.
func orders(token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		auth := r.Header.Get("Authorization")
		out := map[string]any{"path": r.URL.Path, "tenant": r.Header.Get("X-Tenant-Id")}
		if strings.HasPrefix(r.URL.Path, "/orders") {
			if subtle.ConstantTimeCompare([]byte(auth), []byte("Bearer "+token)) != 1 {
				w.WriteHeader(http.StatusUnauthorized)
				out["error"] = "the token is missing"
			} else {
				out["orders"], out["authorization"] = []string{"4711", "4712"}, auth
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}
