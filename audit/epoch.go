package audit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"
)

// An epoch is the time in which one key signs. When it ends, the key signs its
// successor and is destroyed: whoever takes the key of today cannot sign what
// was yesterday.
type epoch struct {
	n      int
	key    string // that verifies, in the form of C2SP signed-note
	signer note.Signer
}

// The key that signs now, and the one that is about to.
const (
	keyFile     = "epoch.key"
	nextKeyFile = "epoch.next"
)

// newEpoch makes the n-th key of a log, and keeps it in a file that is durable as
// soon as its directory is.
func newEpoch(dir, file, origin string, n int, sync func(*os.File) error) (epoch, error) {
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return epoch{}, err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return epoch{}, errors.New("a key that was just made is none") // its text holds the key
	}
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return epoch{}, err
	}
	defer f.Close()
	if _, err := f.WriteString(private + "\n" + public + "\n"); err != nil {
		return epoch{}, err
	}
	return epoch{n, public, signer}, sync(f)
}

// loadEpoch reads the n-th key of a log, which has to be this one. A crash may
// have left it under the name of the next.
func loadEpoch(dir, key string, n int) (epoch, error) {
	for _, file := range []string{keyFile, nextKeyFile} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return epoch{}, err
		}
		private, public, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), "\n")
		if public != key {
			continue
		}
		signer, err := note.NewSigner(private)
		if err != nil {
			return epoch{}, fmt.Errorf("%s is damaged: what follows in this log could not be signed; start a new one in another directory", file)
		}
		if file == nextKeyFile {
			err = succeed(dir)
		} else if err = os.Remove(filepath.Join(dir, nextKeyFile)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return epoch{n, key, signer}, err
	}
	return epoch{}, fmt.Errorf("the key that signs this log is not in %s: what follows could not be signed; start a new log in another directory", keyFile)
}

// succeed destroys the key that signed last, and puts the next in its place. What
// was on the disk is overwritten as far as a file system does what it is told.
func succeed(dir string) error {
	path := filepath.Join(dir, keyFile)
	if f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err == nil {
		if st, err := f.Stat(); err == nil {
			_, _ = f.Write(make([]byte, st.Size()))
			_ = f.Sync()
		}
		_ = f.Close()
	}
	if err := os.Rename(filepath.Join(dir, nextKeyFile), path); err != nil {
		return err
	}
	return syncDir(dir)
}
