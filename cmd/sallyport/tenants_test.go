package main

import (
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
	"sallyport/origin/world"
)

// hostile 436: two tenants under the policy that ships for them. Neither reaches what is the
// other's, whatever it claims in fields, names and paths, and the origin is told whose
// each request is.
func TestTenantsAreApart(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	p := newPlace(t, callers()[len(callers())-1], origin.Options{TLSPort: 443})
	dir, err := filepath.Abs("../../policies/examples/tenants")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(tenant string, prop bool, targets ...string) output {
		args := []string{"run", "--audit", p.log, "--allow-private", "127.0.0.0/8", "--upstream-ca", p.ca, "--policy", dir}
		for _, host := range []string{"api.example.com", "objects.example.com", "t1.apps.example.com", "t2.apps.example.com"} {
			args = append(args, "--resolve", host+"=127.0.0.1")
		}
		if prop {
			args = append(args, "--prop", "tenant_id="+tenant)
		}
		return p.exec(append(args, "--", "/bin/sh", "-c", "for u in "+strings.Join(targets, " ")+"; do curl -gsS --path-as-is -H 'X-Tenant-Id: t1' -H 'x_tenant_id: t1' -o /dev/null -w '%{http_code} ' https://$u; done")...)
	}
	own := func(tenant string) []string {
		return []string{tenant + ".apps.example.com/", "objects.example.com/shared/" + tenant + "/a"}
	}
	for _, c := range []struct{ who, whose, want string }{{"t1", "t1", "200 200 "}, {"t2", "t2", "200 200 "}, {"t1", "t2", "403 403 "}, {"t2", "t1", "403 403 "}} {
		if out := ask(c.who, true, own(c.whose)...); out.stdout != c.want {
			t.Errorf("%s asks for what is %s's: %+v", c.who, c.whose, out)
		}
	}
	for _, s := range p.origin.Seen() {
		whose := "t1"
		if strings.HasPrefix(s.Host, "t2.") || strings.HasPrefix(s.Target, "/shared/t2/") {
			whose = "t2"
		}
		if got := s.Header["X-Tenant-Id"]; len(got) != 1 || got[0] != whose || len(s.Header["X_tenant_id"]) > 0 {
			t.Errorf("%s%s is said to be %v's", s.Host, s.Target, s.Header)
		}
	}
	n := len(p.origin.Seen())
	if out := ask("t2", true, "objects.example.com/shared/t1%2Fa", "objects.example.com/shared//t1/a", "objects.example.com/shared/t2%2F..%2Ft1/a", "objects.example.com/shared/t2/../t1/a", "objects.example.com/shared/T1/a", "objects.example.com/shared/"); strings.Contains(out.stdout, "200") || len(p.origin.Seen()) != n {
		t.Errorf("by another spelling: %+v", out)
	}
	if out := ask("t1/a", true, own("t1")...); out.stdout != "403 403 " || len(p.origin.Seen()) != n {
		t.Errorf("a tenant that is no label: %+v", out)
	}
	if out := ask("", false, own("t1")...); out.code != codeFailed || !strings.Contains(out.stderr, `needs the property "tenant_id"`) {
		t.Errorf("no tenant: %+v", out)
	}
}
