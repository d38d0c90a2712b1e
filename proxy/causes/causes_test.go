package causes

import (
	"errors"
	"io"
	"syscall"
	"testing"
)

func TestJoin(t *testing.T) {
	if Join() != nil || Join(nil, nil) != nil {
		t.Error("nothing failed")
	}
	err := Join(nil, syscall.ECONNREFUSED, io.EOF, syscall.ECONNREFUSED)
	if err.Error() != "connection refused; EOF" || !errors.Is(err, io.EOF) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
}
