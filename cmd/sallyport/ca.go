package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sallyport/admin"
	"sallyport/cmd/sidecar"
	"sallyport/config"
	"sallyport/confine"
	"sallyport/proxy/leaf"
)

func caCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make, show, export or rotate the CA of a sidecar, which has to be trusted inside",
		Example: `  sallyport ca init --state /var/lib/sallyport
  sallyport ca export > /usr/local/share/ca-certificates/sallyport.crt && update-ca-certificates
  sallyport ca rotate && sallyport ca show`,
	}
	client := controlFlags(cmd)
	cmd.AddCommand(caInitCommand(), caExportCommand(client), caShowCommand(client), caRotateCommand(client), caEnvCommand())
	return group(cmd)
}

func daysFlag(cmd *cobra.Command) *int {
	return cmd.Flags().Int("days", sidecar.CADays, "let the CA be good for `N` days")
}

func caInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the CA ahead of the first start of a sidecar, so that it can be distributed",
		Long: `init makes a CA and its key in the directory that the configuration calls state.
serve makes one by itself when there is none. Where there is one already, init
changes nothing and fails: 'sallyport ca rotate' replaces it. What root makes
belongs to whoever owns the directory, or to the user that --user names.`,
		Example: `  sallyport ca init --user sallyport
  sallyport ca init --state ./state --days 90`,
		Args: cobra.NoArgs,
	}
	state := cmd.Flags().String("state", config.Default().State.S, "keep it in `DIR`")
	user := cmd.Flags().String("user", "", "make it for the `USER` that serve becomes when root starts it")
	days := daysFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *days < 1 || *days > admin.MaxDays {
			return fmt.Errorf("--days %d: expected 1 to %d", *days, admin.MaxDays)
		}
		if err := stateFor(*user, *state); err != nil {
			return err
		}
		i, err := leaf.Init(*state, sidecar.CAOptions(*days))
		if errors.Is(err, leaf.ErrExists) {
			return fmt.Errorf("%w; export it, or replace it with 'sallyport ca rotate' while serve runs", err)
		}
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		printCA(out, i.CA().Certificate, nil)
		_, err = fmt.Fprintf(out, "file     %s\n", filepath.Join(*state, "ca.pem"))
		return err
	}
	return cmd
}

// stateFor makes the state directory for a user; "" is whoever this is.
func stateFor(user, dir string) error {
	if user == "" {
		return nil
	}
	as, err := confine.LookUp(user)
	if err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	if uid := os.Geteuid(); uid != 0 && uid != as.UID {
		return fmt.Errorf("--user %s: only root can make it for another user; this is user %d", user, uid)
	}
	return sidecar.PrepareDirectory("--state", dir, 0o700, as, nil)
}

func caExportCommand(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{Use: "export", Short: "Print the certificate in PEM", Args: cobra.NoArgs, Example: "  sallyport ca export > ca.pem", RunE: func(cmd *cobra.Command, _ []string) error {
		st, err := client().Status(cmd.Context())
		if err != nil {
			return err
		}
		_, err = io.WriteString(cmd.OutOrStdout(), st.CA)
		return err
	}}
}

func caShowCommand(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Tell whose it is, how long it is good, its fingerprint, and which older ones lead to it",
		Long: `show tells of the CA that sandboxes trust that are made now. A sandbox that was
made under an older one goes on until the time that stands beside that.`,
		Example: "  sallyport ca show", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := client().Status(cmd.Context())
			if err != nil {
				return err
			}
			return printPEM(cmd.OutOrStdout(), st.CA, st.Older)
		},
	}
}

func caRotateCommand(client func() *admin.Client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Put a new CA in the place of the one in force, and destroy the old key",
		Long: `rotate makes a new CA and key. The old CA vouches for the new one before its key
is destroyed, so sandboxes that are live go on as they are until the old CA ends;
those that are made from now on trust the new one. What is open stays open.

As many as four older CAs lead to the one in force. Where a rotation would leave
one behind, it is refused without --force.`,
		Example: `  sallyport ca rotate
  sallyport ca rotate --days 90 --control /run/sallyport/control.sock`,
		Args: cobra.NoArgs,
	}
	days := daysFlag(cmd)
	force := cmd.Flags().Bool("force", false, "rotate although sandboxes that trust an older CA will have no TLS")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *days < 1 {
			return fmt.Errorf("--days %d: expected 1 to %d", *days, admin.MaxDays)
		}
		r, err := client().RotateCA(cmd.Context(), admin.Rotate{Days: *days, Force: *force})
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		for _, c := range r.Lost {
			fmt.Fprintf(out, "left     sha256 %s: what trusts this alone has to be made again\n", c.SHA256)
		}
		return printPEM(out, r.CA, r.Older)
	}
	return cmd
}

// printPEM tells of a CA as people read it.
func printPEM(w io.Writer, text string, older []admin.OlderCA) error {
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		return errors.New("the sidecar told no certificate")
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return err
	}
	printCA(w, c, older)
	return nil
}

func printCA(w io.Writer, c *x509.Certificate, older []admin.OlderCA) {
	fmt.Fprintf(w, "subject  %s\nfrom     %s\nuntil    %s\nsha256   %s\n", c.Subject, zulu(c.NotBefore), zulu(c.NotAfter), sidecar.Fingerprint(c))
	for _, o := range older {
		fmt.Fprintf(w, "older    sha256 %s, leads here until %s\n", o.SHA256, zulu(o.Until))
	}
}
