package terms

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 64 << 10

// ReadSecret reads env:VARIABLE or file:PATH, of which a file is watched. Errors
// do not repeat what was read.
func ReadSecret(source string, rel func(string) string, watch func(string)) (string, error) {
	kind, arg, _ := strings.Cut(source, ":")
	switch {
	case kind == "env" && arg != "":
		v, ok := os.LookupEnv(arg)
		if !ok {
			return "", fmt.Errorf("there is no variable %s", arg)
		}
		return v, nil
	case kind == "file" && arg != "":
	default: // not repeated: it may be the secret itself
		return "", errors.New("expected env:VARIABLE or file:PATH; what stands here is not repeated, since it may be a secret")
	}
	path := rel(arg)
	watch(path)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe shall not hold us
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	case st.Mode().Perm()&0o002 != 0:
		return "", fmt.Errorf("everybody may write %s: chmod 600 it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxSecret)
	}
	return string(b), err
}
