package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"sallyport/policy/rego"
)

func policyInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Write a policy to begin with, its tests, and what OPA's own commands need",
		Long: `init writes DIR/policy: rules, data and tests to change. Beside it, DIR/sallyport has the modules that compose a decision,
with the library, DIR/schema the input of each phase as JSON Schema, and DIR/annotations which package has which, so that "opa test policy
sallyport", "opa check --strict --schema schema policy sallyport annotations" and editors work on it too. What sallyport is given is DIR/policy alone. No file is overwritten.`,
		Example: `  sallyport policy init ./egress && sallyport policy check ./egress/policy && sallyport policy test ./egress/policy`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := rego.Scaffold(args[0])
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			for _, f := range files {
				fmt.Fprintln(w, f)
			}
			p := filepath.Join(args[0], "policy")
			fmt.Fprintf(w, "\nNow:\n  sallyport policy check %[1]s\n  sallyport policy test --coverage %[1]s\n  sallyport policy eval %[1]s --label team=web https://api.example.com/v1/items\n  sallyport run --policy %[1]s --label team=web -- curl -sS https://api.example.com/v1/items\n", p)
			return nil
		},
	}
}
