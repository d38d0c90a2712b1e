package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sallyport/policy/rego"
)

func policySchemaCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "schema [PHASE] [--write DIR]",
		Short: "Print the input of a phase as JSON Schema, for editors and OPA's own commands",
		Long: `schema prints what the input of a phase has, with what each field is, as JSON Schema: the one by which policies are checked.
PHASE is egress (which it is when it is left out), connect, dns, dial, response or message. --write writes those of all phases,
each into a file of its name; what is there already is written over.

"opa check --schema schema policy sallyport annotations" uses them in what "sallyport policy init" writes, and finds fields that a
phase does not have. In an editor, the schema of a phase is that of an input.json to try a policy with.`,
		Example: `  sallyport policy schema connect
  sallyport policy schema --write ./egress/schema`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir != "" {
				if len(args) > 0 {
					return fmt.Errorf("--write writes the schemas of all phases: leave %s out", args[0])
				}
				return writeSchemas(dir)
			}
			phase := "egress"
			if len(args) > 0 {
				phase = args[0]
			}
			b, err := rego.Schema(phase)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "write", "", "write the schemas of all phases into `DIR`")
	return cmd
}

func writeSchemas(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, ph := range rego.SchemaPhases() {
		b, err := rego.Schema(ph)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, ph+".json"), b, 0o644); err != nil { //nolint:gosec // nothing in it is secret
			return err
		}
	}
	return nil
}
