package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// A Kept is the last good bundle of a policy, over a restart. Who reads it judges
// it anew.
type Kept struct {
	Policy string    `json:"policy"`
	Source string    `json:"source"`
	ETag   string    `json:"etag,omitempty"`
	Sum    string    `json:"sha256"` // of the bytes
	Digest string    `json:"digest"` // of what they came to
	Taken  time.Time `json:"taken"`

	Bytes []byte `json:"-"`
}

// maxSaid bounds what stands before the bytes.
const maxSaid = 16 << 10

// file is where the bundle of a policy is kept: names of policies are not those of
// files.
func file(dir, policy string) string {
	s := sha256.Sum256([]byte(policy))
	return filepath.Join(dir, hex.EncodeToString(s[:8])+".bundle")
}

// Keep writes one, durably, in place of the one before. The directory is made.
func Keep(dir string, k *Kept) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	k.Sum = (&Bundle{Bytes: k.Bytes}).Sum()
	said, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if len(said) > maxSaid {
		return fmt.Errorf("what is to be kept of policy %s is too long", k.Policy)
	}
	if err := renameio.WriteFile(file(dir, k.Policy), append(append(said, '\n'), k.Bytes...), 0o600); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadKept returns what is kept of a policy, nil when there is nothing. What is not
// whole is an error.
func ReadKept(dir, policy string, limit int64) (*Kept, error) {
	path := file(dir, policy)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+maxSaid))
	if err != nil {
		return nil, err
	}
	k := &Kept{}
	said, rest, ok := bytes.Cut(b, []byte("\n"))
	if err := json.Unmarshal(said, k); !ok || err != nil || k.Policy != policy {
		return nil, fmt.Errorf("%s is not what was kept of policy %s (%v)", path, policy, err)
	}
	k.Bytes = rest
	if (&Bundle{Bytes: rest}).Sum() != k.Sum || int64(len(rest)) > limit {
		return nil, fmt.Errorf("%s was changed since it was kept", path)
	}
	return k, nil
}

// Forget removes what is kept of a policy.
func Forget(dir, policy string) error {
	if err := os.Remove(file(dir, policy)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
