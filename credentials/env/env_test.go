package env

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/credentials"
)

func TestNew(t *testing.T) {
	t.Setenv("ENV_TEST_TOKEN", "s3cret-value")
	s, err := New("ENV_TEST_TOKEN")
	if err != nil {
		t.Fatal(err)
	}
	want, err := credentials.NewSecret([]byte("s3cret-value"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Fetch(t.Context(), nil)
	got := v.Secret
	if err != nil || v.Version == "" || !got.Equal(want) {
		t.Error(v.Version, err)
	}
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if out := fmt.Sprintf(f, s) + fmt.Sprintf(f, *s) + fmt.Sprintf(f, got); strings.Contains(out, "s3cret") || strings.Contains(out, "733363726574") {
			t.Errorf("%s prints the secret", f)
		}
	}
	if s.Variable() != "ENV_TEST_TOKEN" || s.String() != "env:ENV_TEST_TOKEN" {
		t.Error(s.Variable(), s)
	}
	for v, set := range map[string]bool{"ENV_TEST_NONE": false, "ENV_TEST_EMPTY": true, "ENV_TEST_LINES": true} {
		if set {
			t.Setenv(v, map[string]string{"ENV_TEST_EMPTY": "", "ENV_TEST_LINES": "a\nb"}[v])
		}
		if _, err := New(v); err == nil || !strings.Contains(err.Error(), v) {
			t.Errorf("%s: %v", v, err)
		}
	}
}
