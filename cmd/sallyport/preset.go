package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sallyport/policies"
	"sallyport/sandbox"
)

// presetNames are all, for people to read.
func presetNames() string {
	all := policies.Presets()
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// preset reads --preset, and says what is wrong with it.
func (o *runOptions) preset(f *runFlags) (errs []error) {
	if len(f.preset) == 0 {
		return nil
	}
	known := policies.Presets()
	for _, n := range f.preset {
		switch {
		case !slices.Contains(known, n):
			errs = append(errs, fmt.Errorf("--preset %q: expected %s", n, presetNames()))
		case !slices.Contains(o.presets, n):
			o.presets = append(o.presets, n)
		}
	}
	if f.policy != "" {
		errs = append(errs, errors.New("--preset adds to the default policy; with --policy say it in Rego, such as: import data.sallyport.presets.npm, and allow if npm.read"))
	}
	if o.mode == sandbox.Sealed {
		errs = append(errs, errors.New("--mode sealed: nothing exists but bindings; --preset has no place in it"))
	}
	return errs
}

// granting is the default policy with the presets that were chosen. Without any it
// is as it is compiled for everybody.
func (o *runOptions) granting() (fs.FS, error) {
	if len(o.presets) == 0 {
		return policies.Default, nil
	}
	return policies.WithPresets(o.presets)
}
