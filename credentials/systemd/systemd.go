// Package systemd takes secrets from the credentials that a service manager gives a service.
package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"sallyport/credentials/file"
)

// variable says where the credentials of a service are (systemd.exec(5)).
const variable = "CREDENTIALS_DIRECTORY"

// A Source is one credential, of LoadCredential, SetCredential or their encrypted
// forms. It is read again when it changes.
type Source struct {
	*file.Source
	name string
}

// Path is where a credential is, or "".
func Path(name string) string {
	dir := os.Getenv(variable)
	if dir == "" || !filepath.IsAbs(dir) || name == "" || strings.Contains(name, "/") || name == "." || name == ".." {
		return ""
	}
	return filepath.Join(dir, name)
}

// New reads one; open is file.New or file.NewKey.
func New(name string, open func(string) (*file.Source, error)) (*Source, error) {
	switch path := Path(name); {
	case os.Getenv(variable) == "":
		return nil, errors.New("there is no " + variable + ": the service manager gave this service no credentials")
	case path == "":
		return nil, errors.New("a credential of systemd has a name without slashes")
	default:
		f, err := open(path)
		if err != nil {
			return nil, err
		}
		return &Source{f, name}, nil
	}
}

// String names the credential.
func (s *Source) String() string { return "systemd:" + s.name }
