package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"sallyport/cmd/terms"
	"sallyport/proxy/resolve"
)

// reaching reads the flags that say how upstreams are reached.
func (o *runOptions) reaching(f *runFlags) (errs []error) {
	var of []resolve.Server
	for _, s := range f.resolver {
		at, rest, _ := strings.Cut(s, ",")
		ca, ok := strings.CutPrefix(rest, "ca=")
		if rest != "" && (!ok || ca == "") {
			errs = append(errs, fmt.Errorf("--resolver %q: expected URL or URL,ca=FILE", s))
			continue
		}
		server, err := terms.ParseServer(at, ca)
		if err != nil {
			errs = append(errs, fmt.Errorf("--resolver %q: %w", s, err))
			continue
		}
		of = append(of, server)
	}
	if len(of) > 0 {
		var err error
		if o.servers, err = resolve.New(of, resolve.Options{}); err != nil {
			errs = append(errs, err)
		}
	}
	for _, s := range f.parent {
		p, variable, files, err := terms.ParseParentFlag(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if variable != "" {
			o.secretVars = append(o.secretVars, variable)
		}
		for _, file := range files { // not shown inside
			path, err := filepath.Abs(file)
			if err != nil {
				errs = append(errs, err)
			}
			o.secretFiles = append(o.secretFiles, path)
		}
		o.reach.Parents = append(o.reach.Parents, p)
	}
	var err error
	if o.reach.Direct, err = terms.ParsePatterns(f.noProxy); err != nil {
		errs = append(errs, fmt.Errorf("--no-proxy %w", err))
	}
	if len(f.noProxy) > 0 && len(f.parent) == 0 {
		errs = append(errs, errors.New("--no-proxy is for what a --parent would carry"))
	}
	return errs
}
