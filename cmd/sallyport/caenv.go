package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/cmd/terms"
)

// unproxied is what a client does not ask a proxy for.
const unproxied = "localhost,127.0.0.1,::1"

func caEnvCommand() *cobra.Command {
	var proxy, token, at, bundle string
	cmd := &cobra.Command{
		Use:   "env [--proxy URL] [--ca PATH]",
		Short: "Print the variables that make programs trust the CA and use a proxy",
		Long: `env prints NAME=VALUE lines for docker --env-file and the like: the variables by
which runtimes find the CA at a path inside, as 'run' sets them, and with --proxy
those by which they find an explicit proxy: HTTP_PROXY and HTTPS_PROXY, or for a
SOCKS proxy ALL_PROXY, with socks5h so that names are asked of it. It asks no sidecar.

The token of --token stands in the output, for the sandbox to show.`,
		Example: `  sallyport ca export > sallyport.pem
  sallyport ca env --proxy http://proxy.internal:3128 --token file:build.token > build.env
  sallyport ca env --proxy socks5h://127.0.0.1:3128
  docker run --env-file build.env -v ./sallyport.pem:/usr/local/share/ca-certificates/sallyport.crt:ro IMAGE`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lines, err := caEnv(proxy, token, at, bundle)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n"))
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&proxy, "proxy", "", "the explicit proxy's `URL`, http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT")
	fl.StringVar(&token, "token", "", "show the token in env:VARIABLE or file:PATH to the proxy (`SOURCE`)")
	fl.StringVar(&at, "ca", "/usr/local/share/ca-certificates/sallyport.crt", "`PATH` of the CA inside")
	fl.StringVar(&bundle, "bundle", "", "`PATH` inside of a bundle with the CA and others (default: that of the CA alone, which opens all TLS that is not passed through)")
	return cmd
}

// caEnv makes the lines.
func caEnv(proxy, token, at, bundle string) (lines []string, err error) {
	if bundle == "" {
		bundle = at
	}
	for _, p := range []string{at, bundle} {
		if !filepath.IsAbs(p) || strings.ContainsAny(p, "\r\n") {
			return nil, fmt.Errorf("%q: expected the absolute path of the CA inside", p)
		}
	}
	if proxy == "" && token != "" {
		return nil, fmt.Errorf("--token is shown to a proxy: add --proxy URL")
	}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("--proxy: expected http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT, and the token in --token")
		}
		u.Path = ""
		if token != "" {
			text, err := terms.ReadSecret(token, func(p string) string { return p }, func(string) {})
			if err != nil {
				return nil, fmt.Errorf("--token: %w", err)
			}
			newest, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
			u.User = url.UserPassword("sandbox", strings.TrimSpace(newest))
		}
		told := []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"}
		if strings.HasPrefix(u.Scheme, "socks") {
			told = []string{"ALL_PROXY", "all_proxy"}
		}
		for _, k := range told {
			lines = append(lines, k+"="+u.String())
		}
		lines = append(lines, "NO_PROXY="+unproxied, "no_proxy="+unproxied, "NODE_USE_ENV_PROXY=1")
	}
	for _, kv := range (trusted{bundle: bundle, ca: at}).variables() {
		lines = append(lines, kv[0]+"="+kv[1])
	}
	return lines, nil
}
