package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

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
	if err := os.WriteFile(path, []byte(netns.ResolvConf), 0o644); err != nil {
		b, rerr := os.ReadFile(path)
		if rerr == nil && !bytes.Contains(b, []byte("search ")) && !bytes.Contains(b, []byte("ndots")) && bytes.Contains(b, []byte("nameserver ")) {
			return nil
		}
		return fmt.Errorf("%s cannot be written (%w): names without a dot, and names that it completes, may not be what is meant", path, err)
	}
	return nil
}

// installCA makes the CA trusted in a container: by files of our own, which the
// variables name, and in the system's.
func installCA(ca []byte, system bool, uid, gid int) (trusted, error) {
	var at trusted
	bundle := netns.Bundle(ca)
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
		if err == nil && (!st.IsDir() || st.Mode().Perm()&0o022 != 0 || unix.Access(dir, unix.W_OK) != nil) {
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
		f, err := os.OpenFile(real, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			continue
		}
		_, err = f.Write(append([]byte{'\n'}, ca...))
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", real, err)
		}
	}
	return nil
}

// chromiumCA makes a store for Chromium in a home that has none.
func chromiumCA(ca []byte, uid, gid int) error {
	home := os.Getenv("HOME")
	dir := filepath.Join(home, ".pki", "nssdb")
	if !filepath.IsAbs(home) || unix.Access(home, unix.W_OK) != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil //nolint:nilerr // a home without room has no browser
	}
	if err := os.Mkdir(dir, 0o700); err != nil { // it has one
		return nil //nolint:nilerr // and what is in it is not ours to change
	}
	nss, err := trust.NSS(ca)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, trust.NSSFile)
	if err := os.WriteFile(file, nss, 0o600); err != nil {
		return err
	}
	if uid == os.Getuid() {
		return nil
	}
	for _, p := range []string{filepath.Dir(dir), dir, file} {
		if err := os.Lchown(p, uid, gid); err != nil && !errors.Is(err, unix.EPERM) { // without CHOWN it is of no use, and does no harm
			return err
		}
	}
	return nil
}
