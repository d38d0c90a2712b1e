package sidecar

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is said of a sandbox is bounded: it is in each of its records, in the input
// of each decision, and in what watchers are told.
const (
	maxLabels     = 64
	maxLabelKey   = 128      // bytes
	maxLabelValue = 1024     // bytes
	maxProps      = 64 << 10 // bytes, as JSON
	maxPropsDepth = 32
	maxDigits     = 64 // of a number in a property
)

// fits says what is too much of labels and properties, or is no text or number.
func fits(labels map[string]string, props map[string]any) (errs []error) {
	if len(labels) > maxLabels {
		errs = append(errs, fmt.Errorf("there are %d labels, and %d is the most", len(labels), maxLabels))
	}
	for k, v := range labels {
		switch {
		case k == "" || len(k) > maxLabelKey || !printable(k):
			errs = append(errs, fmt.Errorf("the label %.64q is not one: 1 to %d bytes of text, without control characters", k, maxLabelKey))
		case len(v) > maxLabelValue || !printable(v):
			errs = append(errs, fmt.Errorf("the label %s has no value that it can have: at most %d bytes of text, without control characters", k, maxLabelValue))
		}
	}
	if err := plain(props, 0); err != nil {
		return append(errs, fmt.Errorf("the properties: %w", err))
	}
	if b, err := json.Marshal(props); err != nil || len(b) > maxProps {
		errs = append(errs, fmt.Errorf("the properties have %d bytes as JSON, and %d is the most", len(b), maxProps))
	}
	return errs
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// plain says what of a JSON value a policy cannot be shown.
func plain(v any, depth int) error {
	if depth > maxPropsDepth {
		return fmt.Errorf("they are deeper than %d", maxPropsDepth)
	}
	switch v := v.(type) {
	case json.Number:
		if _, err := v.Float64(); err != nil || len(v) > maxDigits {
			return fmt.Errorf("the number %.64s is too large, or has more than %d digits", v.String(), maxDigits)
		}
	case []any:
		for _, x := range v {
			if err := plain(x, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, x := range v {
			if err := plain(x, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
