package policy

import (
	"strconv"
	"strings"
)

// Bounds of numbers: whoever calculates with one of a few bytes must not need much
// more than those. Servers read what is beyond them differently, too: RFC 8259, 6.
const (
	maxDigits   = 128
	maxExponent = 99
)

// Bounded reports whether a number as JSON writes it is one to calculate with. It
// has to be asked of each that a sandbox says before a policy sees it: no step of a
// calculation can be interrupted (hostile 141).
func Bounded(number string) bool {
	if len(number) > maxDigits {
		return false
	}
	i := strings.IndexAny(number, "eE")
	if i < 0 {
		return true
	}
	e, err := strconv.Atoi(number[i+1:])
	return err == nil && -maxExponent <= e && e <= maxExponent
}
