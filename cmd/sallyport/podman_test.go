package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/origin/world"
)

// Podman plays the pods of deploy/podman: one with the sidecar, and one that is a
// sandbox.
func TestPodman(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a pod a network namespace to seal")
	}
	if !world.Enter(t) {
		return
	}
	for prog, pkg := range map[string]string{"podman": "podman", "catatonit": "catatonit", "unshare": "util-linux"} {
		tool(t, prog, pkg)
	}
	world.Addresses(t)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(base, "root", "overlay"), unix.MNT_DETACH) })
	rootfs(t, filepath.Join(base, "tools.tar"), []string{"/bin/sh", "curl", "sleep"}, "/etc/ssl/certs")
	compose, err := filepath.Abs("../../deploy/compose")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sidecar.yaml", "agent.yaml"} {
		b, err := os.ReadFile("../../deploy/podman/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "path: /etc/sallyport", "path: "+compose)
		if err := os.WriteFile(filepath.Join(base, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "/bin/sh", "-c", `set -e
B=`+base+`
p() { podman --root $B/root --runroot $B/run --tmpdir $B/tmp --cgroup-manager cgroupfs --events-backend file "$@"; }
p import --change 'ENTRYPOINT ["/usr/local/bin/sallyport"]' tools.tar localhost/sallyport >/dev/null
p import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' tools.tar localhost/sallyport-workload >/dev/null
p play kube sidecar.yaml >/dev/null
p play kube --network none agent.yaml >/dev/null
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	p logs agent-work 2>/dev/null | grep refused: >/dev/null && break
	sleep 1
done
p logs agent-work; p logs sallyport-sidecar
p inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.EffectiveCaps}}' sallyport-sidecar
p play kube --down agent.yaml >/dev/null; p play kube --down sidecar.yaml >/dev/null
echo "left: $(p ps -aq) $(p pod ps -q)"`)
	cmd.Dir = base
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s%v", out, err)
	}
	for _, want := range []string{`allowed:      {"path":"/hello","tenant":"t-agent"}`, `credentialed: {"authorization":"Bearer [REDACTED:orders]"`, "refused:      sallyport: default_deny", "true []\n", "left:  \n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}
