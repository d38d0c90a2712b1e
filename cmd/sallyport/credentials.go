package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sallyport/admin"
)

func credentialCheckCommand(client func() *admin.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Ask every source anew, and say what each credential would do where; exits with 1 when one cannot be had",
		Long: `check has every source asked now, whatever is kept of it, and says what came of
it and what the credential does where: never its value. What is kept goes on to be
used where a source gives nothing.`,
		Example: "  sallyport credential check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := client().CheckCredentials(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), all)
			} else {
				for _, c := range all {
					printCredential(cmd.OutOrStdout(), c)
				}
			}
			if err == nil && slices.ContainsFunc(all, func(c admin.Credential) bool { return c.State != admin.CredentialReady }) {
				return &exitError{code: 1}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printCredential says what one does, and how it is with it.
func printCredential(w io.Writer, c admin.Credential) {
	fmt.Fprintf(w, "%s: %s", c.Name, c.State)
	if c.Reason != "" {
		fmt.Fprintf(w, ": %s", clean(c.Reason))
	}
	fmt.Fprintf(w, "\n  from  %s\n  as    %s in %s\n  at    %s\n", clean(c.Source), c.Kind, c.Place, clean(c.Where))
	if c.Expires != nil {
		fmt.Fprintf(w, "  until %s\n", c.Expires.UTC().Format(time.RFC3339))
	}
}

func credentialRotateCommand(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate NAME",
		Short: "Have a credential fetched anew before it is used again, also when it was revoked",
		Long: `rotate forgets what is kept of a credential and asks its source. What was sent
with the value before it goes on. It exits with 1 when the source gives nothing.`,
		Example: "  sallyport credential rotate github",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client().RotateCredential(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			printCredential(cmd.OutOrStdout(), c)
			if c.State != admin.CredentialReady {
				return &exitError{code: 1}
			}
			return nil
		},
	}
}

func credentialRevokeCommand(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Give a credential to nobody any more, and cut what is open with it",
		Long: `revoke has a credential be given to nobody any more, over reloads and restarts,
until it is rotated; what is open with it is cut at once. What asks for it is 503
credential_unavailable. Whoever issued it does not know: revoke it there, too.`,
		Example: "  sallyport credential revoke github\n  sallyport credential rotate github   # and give it again",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client().RevokeCredential(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			printCredential(cmd.OutOrStdout(), c)
			return nil
		},
	}
}
