package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"sallyport/sandbox/netns"
	"sallyport/sandbox/trust"
)

// inContainer reports whether the system's files are a container's own.
func inContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	var st unix.Statfs_t
	return os.Getpid() == 1 && unix.Statfs("/", &st) == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC
}

// setResolver makes names be asked for as they are: a search list would make
// others of them, which exist as well.
func setResolver() error {
	const path = "/etc/resolv.conf"
	err := renameio.WriteFile(path, []byte(netns.ResolvConf), 0o644)
	if err != nil { // it is mounted there
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0); err == nil {
			_, err = f.WriteString(netns.ResolvConf)
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		b, rerr := os.ReadFile(path)
		if rerr == nil && !bytes.Contains(b, []byte("search ")) && !bytes.Contains(b, []byte("ndots")) && bytes.Contains(b, []byte("nameserver ")) {
			return nil
		}
		return fmt.Errorf("%s cannot be written (%w): names without a dot, and names that it completes, may not be what is meant", path, err)
	}
	return nil
}

// belongs reports whether a file is root's or ours. Another's may have been put there
// when the container ran before.
func belongs(st os.FileInfo) bool {
	uid := int(st.Sys().(*syscall.Stat_t).Uid)
	return uid == 0 || uid == os.Getuid()
}

// certificates are those in a text, and nothing else of it.
func certificates(text []byte) (out []byte) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return out
		}
		if b.Type == "CERTIFICATE" {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: b.Bytes})...)
		}
	}
}

// installCA makes the CA trusted in a container: by files of our own, which the
// variables name, and in the system's.
func installCA(ca []byte, system bool, uid, gid int) (trusted, error) {
	var at trusted
	bundle := certificates(netns.Bundle(ca))
	dir, err := ownDir()
	if err != nil {
		return at, err
	}
	put := func(name string, b []byte) (string, error) {
		path := filepath.Join(dir, name)
		return path, renameio.WriteFile(path, b, 0o644)
	}
	if at.ca, err = put("ca.pem", ca); err != nil {
		return at, err
	}
	if at.bundle, err = put("ca-bundle.pem", bundle); err != nil {
		return at, err
	}
	if _, err := exec.LookPath("java"); err == nil {
		store, err := trust.Java(bundle)
		if err != nil {
			return at, err
		}
		if at.java, err = put("ca-bundle.p12", store); err != nil {
			return at, err
		}
	}
	if !system {
		return at, nil
	}
	return at, errors.Join(appendCA(ca), chromiumCA(ca, uid, gid))
}

// ownDir makes a directory for our files, wherever there is room for one.
func ownDir() (string, error) {
	var errs []error
	for _, base := range []string{"/run", "/dev/shm", os.TempDir()} {
		dir := filepath.Join(base, "sallyport")
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
			continue
		}
		st, err := os.Lstat(dir)
		if err == nil && (!st.IsDir() || !belongs(st) || st.Mode().Perm()&0o022 != 0 || unix.Access(dir, unix.W_OK) != nil) {
			err = fmt.Errorf("%s is not a directory that only we can write", dir)
		}
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("there is no place for it, such as a tmpfs at /run: %w", errors.Join(errs...))
}

// appendCA puts the CA behind the system's certificates. Where those cannot be
// written the variables have to do.
func appendCA(ca []byte) error {
	seen := map[string]bool{}
	for _, b := range netns.Bundles() {
		real, err := filepath.EvalSymlinks(b)
		if err != nil || seen[real] {
			continue
		}
		seen[real] = true
		text, err := os.ReadFile(real)
		if err != nil || bytes.Contains(text, bytes.TrimSpace(ca)) {
			continue
		}
		f, err := os.OpenFile(real, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || !belongs(st) {
			_ = f.Close()
			continue
		}
		_, err = f.Write(append([]byte{'\n'}, ca...))
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", real, err)
		}
	}
	return nil
}

// chromiumCA makes a store for Chromium in a home that has none, and nothing where a
// link in that home leads.
func chromiumCA(ca []byte, uid, gid int) error {
	const above, dir = ".pki", ".pki/nssdb"
	if !filepath.IsAbs(os.Getenv("HOME")) || unix.Access(os.Getenv("HOME"), unix.W_OK) != nil {
		return nil
	}
	home, err := os.OpenRoot(os.Getenv("HOME"))
	if err != nil {
		return nil //nolint:nilerr // who has no home has no browser
	}
	defer home.Close()
	if err := home.Mkdir(above, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil //nolint:nilerr // nor has a home without room
	}
	if err := home.Mkdir(dir, 0o700); err != nil { // it has one
		return nil //nolint:nilerr // and what is in it is not ours to change
	}
	nss, err := trust.NSS(ca)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, trust.NSSFile)
	if err := home.WriteFile(file, nss, 0o600); err != nil {
		return err
	}
	if uid == os.Getuid() {
		return nil
	}
	for _, p := range []string{above, dir, file} {
		if err := home.Lchown(p, uid, gid); err != nil && !errors.Is(err, unix.EPERM) { // without CHOWN it is of no use, and does no harm
			return err
		}
	}
	return nil
}
