// Package causes says in one line why each of several tries came to nothing.
package causes

import (
	"slices"
	"strings"
)

// Join is errors.Join for what goes into records: one line, and each thing once. Errors
// that are nil are left out; nothing but them is nil.
func Join(errs ...error) error {
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	var said []string
	for _, err := range errs {
		if s := err.Error(); !slices.Contains(said, s) {
			said = append(said, s)
		}
	}
	return &several{strings.Join(said, "; "), errs}
}

type several struct {
	text string
	all  []error
}

func (s *several) Error() string   { return s.text }
func (s *several) Unwrap() []error { return s.all }
