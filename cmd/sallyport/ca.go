package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sallyport/admin"
)

func caCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show or export the CA of a sidecar, which has to be trusted inside",
		Example: `  sallyport ca export > /usr/local/share/ca-certificates/sallyport.crt && update-ca-certificates
  sallyport ca show`,
	}
	socket := controlFlag(cmd)
	ca := func(cmd *cobra.Command) (string, error) {
		st, err := admin.NewClient(*socket).Status(cmd.Context())
		return st.CA, err
	}
	cmd.AddCommand(&cobra.Command{Use: "export", Short: "Print the certificate in PEM", Args: cobra.NoArgs, Example: "  sallyport ca export > ca.pem", RunE: func(cmd *cobra.Command, _ []string) error {
		text, err := ca(cmd)
		if err != nil {
			return err
		}
		_, err = io.WriteString(cmd.OutOrStdout(), text)
		return err
	}}, &cobra.Command{Use: "show", Short: "Tell whose it is, how long it is good, and its fingerprint", Args: cobra.NoArgs, Example: "  sallyport ca show", RunE: func(cmd *cobra.Command, _ []string) error {
		text, err := ca(cmd)
		if err != nil {
			return err
		}
		b, _ := pem.Decode([]byte(text))
		if b == nil {
			return errors.New("the sidecar told no certificate")
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "subject  %s\nfrom     %s\nuntil    %s\nsha256   %x\n", c.Subject, c.NotBefore.Format(time.DateTime), c.NotAfter.Format(time.DateTime), sha256.Sum256(c.Raw))
		return nil
	}})
	cmd.AddCommand(caEnvCommand())
	return group(cmd)
}
