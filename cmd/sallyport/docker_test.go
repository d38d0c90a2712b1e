package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A dock is a Docker daemon of the test's own, in a process namespace with which
// everything that it started ends.
type dock struct {
	t   *testing.T
	dir string // where docker-compose.yml is
	log *syncBuffer
	cmd *exec.Cmd
}

// docker starts a daemon. The caller is in a world: its bridges and rules are there.
func docker(t *testing.T) *dock {
	t.Helper()
	for prog, pkg := range map[string]string{"dockerd": "docker.io", "docker-compose": "docker-compose", "unshare": "util-linux", "iptables": "iptables"} {
		tool(t, prog, pkg)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	sock := "unix://" + base + "/docker.sock"
	d := &dock{t: t, dir: filepath.Join(base, "sallyport"), log: &syncBuffer{}}
	t.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:"+os.Getenv("PATH")) // Debian's before others
	t.Setenv("DOCKER_HOST", sock)
	t.Setenv("DOCKER_CONFIG", base)
	d.cmd = exec.Command("unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "dockerd", "--host", sock, "--data-root", filepath.Join(base, "data"), "--exec-root", filepath.Join(base, "exec"), "--pidfile", filepath.Join(base, "pid"))
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
		_ = unix.Unmount(filepath.Join(base, "data"), unix.MNT_DETACH)
	})
	for range 300 {
		if _, err := d.try("docker", "info"); err == nil {
			return d
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the daemon does not answer:\n%s", d.log)
	return nil
}

// try runs a client.
func (d *dock) try(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	if _, err := os.Stat(d.dir); err == nil {
		cmd.Dir = d.dir
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// do runs a client that has to succeed.
func (d *dock) do(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// A container is what the daemon says of one.
type container struct {
	Name, ID     string
	RestartCount int
	State        struct {
		Running   bool
		StartedAt string
	}
	Config     struct{ User string }
	HostConfig struct {
		ReadonlyRootfs, Privileged   bool
		CapAdd, CapDrop, SecurityOpt []string
		NetworkMode, PidMode         string
		Binds                        []string
	}
	Mounts []struct {
		Destination string
		Name        string
		RW          bool
	}
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress, Gateway string }
	}
}

// id is the container of a service.
func (d *dock) id(service string) string {
	d.t.Helper()
	return strings.TrimSpace(d.do("docker", "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.service="+service))
}

func (d *dock) inspect(service string) (c container) {
	d.t.Helper()
	id := d.id(service)
	var all []container
	if err := json.Unmarshal([]byte(d.do("docker", "inspect", id)), &all); err != nil || len(all) != 1 {
		d.t.Fatalf("%s: %d containers, %v", service, len(all), err)
	}
	return all[0]
}

// image imports what some programs of this machine need to run.
func (d *dock) image(name string, programs []string, trees ...string) {
	d.t.Helper()
	file := filepath.Join(filepath.Dir(d.dir), "image.tar")
	rootfs(d.t, file, programs, trees...)
	d.do("docker", "import", file, name)
}

// rootfs makes a file of programs of this machine and what they need, and of the
// binary as /usr/local/bin/sallyport.
func rootfs(t *testing.T, file string, programs []string, trees ...string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	seen := map[string]bool{}
	add(t, w, seen, binary, "/usr/local/bin/sallyport")
	for _, p := range programs {
		tool(t, p, p)
		path, _ := exec.LookPath(p)
		add(t, w, seen, path, path)
		libs, _ := exec.Command("ldd", path).CombinedOutput()
		for _, lib := range regexp.MustCompile(`/[^ \n]+`).FindAllString(string(libs), -1) {
			add(t, w, seen, strings.TrimSuffix(lib, ":"), strings.TrimSuffix(lib, ":"))
		}
	}
	for _, tree := range trees {
		_ = filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil || e.IsDir() && (e.Name() == "test" || e.Name() == "__pycache__"):
				return fs.SkipDir
			case !e.IsDir():
				add(t, w, seen, path, path)
			}
			return nil
		})
	}
	for _, dir := range []string{"tmp/", "run/", "proc/", "sys/", "dev/"} {
		_ = w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o1777})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// add puts a file under a name, whatever links lead to it.
func add(t *testing.T, w *tar.Writer, seen map[string]bool, path, name string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil || seen[name] {
		return
	}
	defer f.Close()
	seen[name] = true
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return
	}
	if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: int64(st.Mode().Perm()), Size: st.Size()}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, f); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", path, err))
	}
}
