package ship

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"sallyport/audit"
)

// loadCursor returns the place up to which a sink has all records; the beginning
// of the log when nothing was sent yet.
func loadCursor(dir, name string) (at audit.Position, err error) {
	b, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return at, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	if err != nil {
		return at, fmt.Errorf("the cursor of the sink %s: %w; remove it to send the whole log again", name, err)
	}
	return at, nil
}

// saveCursor keeps a place, so that it is there after a crash.
func saveCursor(dir, name string, at audit.Position) error {
	b, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, name+".json"), append(b, '\n'), 0o600)
}

// bury keeps what a receiver will never take, with the reason, so that it can be
// looked at and sent otherwise.
func bury(dir, name string, rs []Record, why string) error {
	f, err := os.OpenFile(filepath.Join(dir, name+".rejected.ndjson"), os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, r := range rs {
		b, err := json.Marshal(struct {
			Why    string          `json:"why"`
			Record json.RawMessage `json:"record"`
		}{why, r.Line})
		if err != nil {
			return err
		}
		if _, err := f.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return f.Sync()
}
