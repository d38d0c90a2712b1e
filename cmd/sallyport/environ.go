package main

import (
	"fmt"
	"slices"
	"strings"
)

// inherited are the variables that a sandbox gets without being asked.
var inherited = []string{"PATH", "HOME", "LANG", "LANGUAGE", "TERM", "COLORTERM", "NO_COLOR", "TZ", "USER", "LOGNAME", "SHELL", "COLUMNS", "LINES", "EDITOR", "PAGER"}

// trustVariables name a bundle with the CA.
var trustVariables = []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT", "CARGO_HTTP_CAINFO"}

// trusted are the places of the CA inside; empty ones do not exist.
type trusted struct{ bundle, ca, java string }

// variables name the CA for runtimes that do not read the system's store.
func (at trusted) variables() (out [][2]string) {
	if at.bundle == "" {
		return nil
	}
	for _, k := range trustVariables {
		out = append(out, [2]string{k, at.bundle})
	}
	return append(out, [2]string{"NODE_EXTRA_CA_CERTS", at.ca}, [2]string{"DENO_CERT", at.ca})
}

// environment makes what the workload sees: an allow-list, what --env names,
// the CA, and never a variable that a credential is read from.
func environment(host, names []string, all bool, secrets []string, at trusted) ([]string, error) {
	vars := map[string]string{}
	order := []string{}
	set := func(k, v string) {
		if _, ok := vars[k]; !ok {
			order = append(order, k)
		}
		vars[k] = v
	}
	hostVars := map[string]string{}
	for _, kv := range host {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			continue
		}
		hostVars[k] = v
		if all || slices.Contains(inherited, k) || strings.HasPrefix(k, "LC_") {
			set(k, v)
		}
	}
	for _, kv := range at.variables() {
		set(kv[0], kv[1])
	}
	if at.java != "" {
		set("JAVA_TOOL_OPTIONS", strings.TrimSpace(vars["JAVA_TOOL_OPTIONS"]+" -Djavax.net.ssl.trustStore="+at.java+" -Djavax.net.ssl.trustStoreType=PKCS12"))
	}
	for _, n := range names {
		k, v, ok := strings.Cut(n, "=")
		if k == "" {
			return nil, fmt.Errorf("--env %q: expected NAME or NAME=VALUE", n)
		}
		if !ok {
			if v, ok = hostVars[k]; !ok {
				return nil, fmt.Errorf("--env %s: there is no such variable; write --env %s=VALUE to set one", k, k)
			}
		}
		if slices.Contains(secrets, k) {
			return nil, fmt.Errorf("--env %s: a credential is read from this variable, so it is not handed in", k)
		}
		set(k, v)
	}
	out := make([]string, 0, len(order))
	for _, k := range order {
		if !slices.Contains(secrets, k) {
			out = append(out, k+"="+vars[k])
		}
	}
	return out, nil
}
