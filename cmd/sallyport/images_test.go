package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
	"sallyport/origin/bundles"
	"sallyport/origin/world"
)

// A sandbox is decided for by an image of a registry and by a bundle of a server,
// which are replaced each by itself: both have to allow.
func TestServeByImages(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	r := bundles.ServeImages()
	defer r.Close()
	key := bundles.NewKey()
	image := func(revision, rules string) {
		r.Push("stable", bundles.Layer, key.Sign(bundles.Files{"p.rego": "package egress\n\n" + rules, ".manifest": `{"revision": "` + revision + `"}`}, "", "").Pack())
	}
	image("1.9.0", "allow := true\n")
	u := published(t, p, "  - {name: organisation, url: \"oci://"+r.Name(":stable")+"\", ca: conf/registry.pem, verify: {key: \"file:conf/organisation.pem\", algorithm: ES256}, poll: {min: 40ms}}\n", func(u *publisher) {
		written(t, filepath.Join(u.dir, "registry.pem"), []byte(r.CA))
		written(t, filepath.Join(u.dir, "organisation.pem"), []byte(key.Public))
		text, err := os.ReadFile(u.config)
		if err != nil {
			t.Fatal(err)
		}
		written(t, u.config, []byte(strings.Replace(string(text), "default_policy: [web]", "default_policy: [organisation, web]", 1)))
		u.publish(u.version("1", "api.example.com"), `"1"`)
	})
	u.until("they are not taken", func() bool { st, err := u.told(); return err == nil && st.Ready })
	if wrong := u.in("1", "api.example.com", "other.example.com"); wrong != "" || u.policy("organisation").Revision != "1.9.0" {
		t.Errorf("%s, %+v", wrong, u.policy("organisation"))
	}
	image("1.10.0", "allow if input.destination.host == \"other.example.com\"\n")
	u.until("the next image is not taken", func() bool { return u.policy("organisation").Revision == "1.10.0" })
	if a, b := u.allowed("api.example.com"), u.allowed("other.example.com"); !strings.Contains(a, "default_deny") || !strings.Contains(b, "default_deny") {
		t.Errorf("one layer is enough: %s, %s", a, b)
	}
	u.publish(u.version("2", "other.example.com"), `"2"`)
	u.until("the next bundle is not taken", func() bool { return u.policy("web").Revision == "2" })
	if wrong := u.in("2", "other.example.com", "api.example.com"); wrong != "" {
		t.Error(wrong)
	}
	image("1.9.1", "allow := true\n")
	u.until("an older image is not refused", func() bool { return u.policy("organisation").Bundle.Code == "rollback" })
	u.stop()
	if n := len(u.find(map[string]string{"event.name": "egress.policy.loaded", "detail.policy": "organisation", "detail.revision": "1.10.0"})); n != 1 {
		t.Errorf("%d records of the next image", n)
	}
}

// What serve left itself is enough to look the name of a server up.
func TestBundlesByName(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	world.Addresses(t, "192.0.2.7/32")
	resolves(t, map[string]string{"bundles.example": "127.0.0.1"})
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	u := published(t, p, "", func(u *publisher) {
		text, err := os.ReadFile(u.config)
		if err != nil {
			t.Fatal(err)
		}
		written(t, u.config, []byte(strings.ReplaceAll(string(text), "https://127.0.0.1:", "https://bundles.example:")))
		u.publish(u.version("1", "api.example.com"), `"1"`)
	})
	u.until("it is not taken", func() bool { return u.policy("web").Revision == "1" })
	if wrong := u.in("1", "api.example.com", "other.example.com"); wrong != "" {
		t.Error(wrong)
	}
	u.stop()
}
