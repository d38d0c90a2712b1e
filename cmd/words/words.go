// Package words puts what the program says to people: errors without the calls
// that failed, the log of a command, and which version speaks.
package words

import (
	"regexp"
	"strings"
)

// systemWords is what the system says of a file or an address, behind the call
// that it answered.
var systemWords = regexp.MustCompile(`(?:(?:^|: |\(|; |\n *)(openat|open|fstatat|stat|lstat|mkdirat|mkdir|readlink|readdirent|read|chdir|unlinkat|fork/exec|dial unix|dial tcp|listen tcp|listen tcp4|listen tcp6|listen unix) )([^\n]*?): (?:(?:connect|bind|listen): )?(no such file or directory|permission denied|is a directory|not a directory|address already in use|cannot assign requested address|connection refused)`)

var plainWords = map[string]string{
	"is a directory":                  "it is a directory",
	"not a directory":                 "a part of it is no directory",
	"address already in use":          "another program listens there",
	"cannot assign requested address": "this machine does not have that address",
	"connection refused":              "nobody listens there",
}

// Plain leaves of a message what people have to know: the file or address once,
// and what is wrong with it, without the call that failed.
func Plain(msg string) string {
	var b strings.Builder
	at := 0
	for _, m := range systemWords.FindAllStringSubmatchIndex(msg, -1) {
		call, what, words := msg[m[2]:m[3]], msg[m[4]:m[5]], msg[m[6]:m[7]]
		before := msg[at:m[2]]
		b.WriteString(before)
		if named := what + ": "; !strings.HasSuffix(before, named) || strings.HasPrefix(call, "mkdir") {
			b.WriteString(named)
		}
		if strings.HasPrefix(call, "mkdir") {
			b.WriteString("it cannot be made: ")
		}
		if w := plainWords[words]; w != "" {
			words = w
		}
		b.WriteString(words)
		at = m[1]
	}
	b.WriteString(msg[at:])
	return b.String()
}
