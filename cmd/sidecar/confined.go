package sidecar

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/cmd/words"
	"sallyport/config"
	"sallyport/confine"
)

// limits are what serve left itself at its start, set before anything else; nil
// where nothing was given up, as in config check.
var limits *confine.Confined

// Confine gives up what serve has no need of, before Serve. The process that reads the
// configuration first makes the directories that are missing, then becomes the
// one that serves, which comes here again and goes on.
func Confine(file string) error {
	if confine.Entered() {
		var err error
		if limits, err = confine.Settle(); err != nil {
			return err
		}
		if err := findBroker(); err != nil {
			return err
		}
		unix.Umask(0) // every file is made with the mode that it is to have
		log := words.NewLogger()
		if limits.NoLandlock != "" {
			log.Warn().Str("reason", limits.NoLandlock).Msg("files are not confined: permissions alone say what serve may read and write")
		}
		if os.Geteuid() == 0 {
			log.Warn().Msg("serve has no capability, but it is root, whose files it may read and write where Landlock lets it: name a user in the configuration")
		}
		return nil
	}
	f, err := config.Load(file)
	if err != nil {
		return err
	}
	bad := &config.Problems{File: file}
	spec := left(bad, file, f)
	if err := bad.Err(); err != nil {
		return err
	}
	if a := spec.As; a != nil && os.Geteuid() != 0 && os.Geteuid() != a.UID {
		return fmt.Errorf("%s:%d:%d: user: only root can start serve as another user; this is user %d", file, f.User.Pos.Line, f.User.Pos.Col, os.Geteuid())
	}
	if err := prepare(f, spec.As); err != nil {
		return err
	}
	for _, l := range []*[]string{&spec.Files.Read, &spec.Files.Write, &spec.Files.Sockets} {
		for i, p := range *l {
			(*l)[i] = followed(p) // what was made just now, too
		}
		slices.Sort(*l)
		*l = slices.Compact(*l)
	}
	if err := readable(file, spec.As); err != nil {
		return err
	}
	if err := startBroker(f, spec.As); err != nil {
		return err
	}
	return fmt.Errorf("serve cannot give up its privileges: %w", confine.Enter(*spec))
}

// account is whose process serve becomes, or nil.
func account(bad *config.Problems, f *config.File) *confine.Account {
	if f.User.S == "" {
		return nil
	}
	a, err := confine.LookUp(f.User.S)
	if err != nil {
		bad.Add(f.User.Pos, "user", "%v", err)
	}
	return a
}

// tellConfined is what the kernel says of this process.
func tellConfined() (admin.Confinement, error) {
	st, err := confine.Read()
	if err != nil {
		return admin.Confinement{}, err
	}
	out := admin.Confinement{UID: st.UID, GID: st.GID, Groups: append([]int{}, st.Groups...), NoNewPrivs: st.NoNewPrivs, Seccomp: st.Seccomp, Dumpable: st.Dumpable,
		Capabilities: admin.Capabilities{Effective: confine.Names(st.Effective), Permitted: confine.Names(st.Permitted), Inheritable: confine.Names(st.Inheritable), Ambient: confine.Names(st.Ambient), Bounding: confine.Names(st.Bounding)},
		Landlock:     admin.Landlock{ABI: st.Landlock.ABI, Enforced: st.Landlock.Enforced, Reason: st.Landlock.Reason}}
	if limits != nil && out.Landlock.Reason == "" {
		out.Landlock.Reason = limits.NoLandlock
	}
	if st.UID == 0 {
		out.Notes = append(out.Notes, "it is root, without capabilities: name a user in the configuration, whose files alone it can then read and write")
	}
	return out, nil
}
