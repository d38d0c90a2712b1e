package sidecar

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/sandbox"
)

// A kept is what is known of a sandbox over a restart. It holds no secret: of
// tokens only the digests.
type kept struct {
	Sandbox admin.Sandbox `json:"sandbox"`
	Planned bool          `json:"planned,omitempty"` // the configuration says what it is
	Said    string        `json:"said,omitempty"`    // what it says there that a patch changes, as a digest
	Usual   bool          `json:"usual,omitempty"`   // the default policies decide
	By      uint32        `json:"by"`
	Tokens  []string      `json:"tokens,omitempty"`
	Cookie  uint64        `json:"cookie,omitempty"`
	Holds   bool          `json:"holds,omitempty"`
	Boot    string        `json:"boot"` // namespaces end with it
}

// A shelf keeps them, a file each, and beside it the names that were given
// addresses.
type shelf struct {
	dir, boot string
	lock      *os.File // held, so that nobody else hands the same sandboxes out
}

func openShelf(state string) (*shelf, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	s := &shelf{dir: filepath.Join(state, "sandboxes"), boot: strings.TrimSpace(string(b))}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if s.lock, err = os.Open(s.dir); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the state in %s is another sidecar's, which runs: %w", state, err), s.lock.Close())
	}
	return s, nil
}

func (s *shelf) file(id, kind string) string { return filepath.Join(s.dir, id+kind) }

// put keeps one, durably.
func (s *shelf) put(k *kept) error {
	k.Boot = s.boot
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.file(k.Sandbox.ID, ".json"), b, 0o600)
}

// drop forgets one.
func (s *shelf) drop(id string) error {
	var errs []error
	for _, kind := range []string{".json", ".names"} {
		if err := os.Remove(s.file(id, kind)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// names opens the table of a sandbox's synthetic addresses.
func (s *shelf) names(id string) (*sandbox.Names, error) {
	return sandbox.OpenNames(s.file(id, ".names"), 0)
}

// load reads all. Of another boot only what an operator said is left.
func (s *shelf) load() ([]*kept, error) {
	es, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var out []*kept
	for _, e := range es {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || strings.HasPrefix(id, ".") { // the latter were not finished
			continue
		}
		b, err := plainFile(filepath.Join(s.dir, e.Name()))
		if err != nil {
			return nil, err
		}
		k := &kept{}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(k); err != nil || d.More() || k.Sandbox.ID != id || !slices.Contains([]string{admin.Active, admin.Paused, admin.Revoked}, k.Sandbox.State) {
			return nil, fmt.Errorf("%s is not what was kept of a sandbox (%v): remove it to forget that sandbox", filepath.Join(s.dir, e.Name()), err)
		}
		if k.Boot != s.boot {
			k.Tokens, k.Cookie, k.Holds = nil, 0, false
			if err := os.Remove(s.file(id, ".names")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		out = append(out, k)
	}
	return out, nil
}

// maxKept is more than is kept of any sandbox.
const maxKept = 8 << 20

// plainFile reads a file that is one: a link, or a pipe that would hold us, is not.
func plainFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxKept {
		return nil, fmt.Errorf("%s is not what was kept of a sandbox: remove it", path)
	}
	return io.ReadAll(io.LimitReader(f, maxKept))
}

// keep writes down what the tenant is. The caller holds its lock.
func (t *tenant) keep() error { return t.keepAs(t.gate.Sandbox()) }

// keepNext writes down what the tenant will be after a patch.
func (t *tenant) keepNext(sb *sandbox.Sandbox, p admin.Patch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.usual
	if p.Policy != nil {
		t.usual = len(p.Policy) == 0
	}
	err := t.keepAs(sb)
	if err != nil {
		t.usual = was
	}
	return err
}

func (t *tenant) keepAs(sb *sandbox.Sandbox) error {
	k := &kept{Sandbox: tell(sb), Planned: t.planned != "", Said: t.said, Usual: t.usual, By: t.by, Cookie: t.cookie, Holds: t.holds}
	for _, d := range t.tokens {
		k.Tokens = append(k.Tokens, hex.EncodeToString(d[:]))
	}
	return t.s.shelf.put(k)
}

// takeOver makes the tenant what was kept of its enrolment.
func (t *tenant) takeOver(k *kept) error {
	t.by, t.cookie, t.holds = k.By, k.Cookie, k.Holds
	for _, h := range k.Tokens {
		b, err := hex.DecodeString(h)
		if err != nil || len(b) != 32 {
			return fmt.Errorf("sandbox %s: what was kept of its token is no digest", k.Sandbox.Name)
		}
		t.tokens = append(t.tokens, [32]byte(b))
	}
	return t.s.claim(t.cookie, t)
}
