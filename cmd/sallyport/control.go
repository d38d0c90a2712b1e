package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"sallyport/admin"
)

const defaultSocket = "/run/sallyport/control.sock"

// controlFlags adds the flags that say how a sidecar is commanded: on its socket,
// or over TCP.
func controlFlags(cmd *cobra.Command) (client func() *admin.Client) {
	e := &admin.Endpoint{}
	f := cmd.PersistentFlags()
	f.StringVar(&e.At, "control", cmp.Or(os.Getenv("SALLYPORT_CONTROL"), defaultSocket), "command the sidecar on this `SOCKET`, or at https://HOST:PORT (SALLYPORT_CONTROL)")
	f.StringVar(&e.CA, "control-ca", os.Getenv("SALLYPORT_CONTROL_CA"), "over TCP: take certificates of the CA in `FILE` only (SALLYPORT_CONTROL_CA)")
	f.StringVar(&e.Cert, "control-cert", os.Getenv("SALLYPORT_CONTROL_CERT"), "over TCP: show the certificate in `FILE` (SALLYPORT_CONTROL_CERT)")
	f.StringVar(&e.Key, "control-key", os.Getenv("SALLYPORT_CONTROL_KEY"), "over TCP: its key is in `FILE` (SALLYPORT_CONTROL_KEY)")
	f.StringVar(&e.Token, "control-token-file", os.Getenv("SALLYPORT_CONTROL_TOKEN_FILE"), "over TCP: show the token in `FILE` (SALLYPORT_CONTROL_TOKEN_FILE)")
	return func() *admin.Client { return e.Client() } // after the flags were read
}

// controlFlag adds the flag that names the control socket, for what cannot be done
// from another machine.
func controlFlag(cmd *cobra.Command) *string {
	return cmd.PersistentFlags().String("control", cmp.Or(os.Getenv("SALLYPORT_CONTROL"), defaultSocket), "command the sidecar on this `SOCKET` (SALLYPORT_CONTROL)")
}
