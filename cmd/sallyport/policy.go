package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/policy/rego"
)

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Begin, check, ask, test, measure, replay, learn, explain, format and list policies",
		Example: `  sallyport policy check ./policy && sallyport policy test ./policy
  sallyport policy ls`,
	}
	cmd.AddCommand(policyCheckCommand(), policyInitCommand(), policyEvalCommand(), policyTestCommand(), policyBenchCommand(), policyReplayCommand(), policyLearnCommand(), policyExplainCommand(), policyShadowCommand(), policySchemaCommand(), policyFmtCommand(), policyListCommand())
	return group(cmd)
}

// everyDir runs one thing over several directories and fails if any of them did.
func everyDir(dirs []string, do func(dir string) (bool, error)) error {
	good := true
	for _, d := range dirs {
		ok, err := do(d)
		if err != nil {
			return err
		}
		good = good && ok
	}
	if !good {
		return &exitError{code: 1}
	}
	return nil
}

func policyFmtCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:     "fmt [--check] DIR…",
		Short:   "Format Rego files in place",
		Example: "  sallyport policy fmt --check ./policy",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return everyDir(args, func(dir string) (bool, error) {
				files, err := rego.Format(dir, !check)
				for _, f := range files {
					fmt.Fprintln(cmd.OutOrStdout(), f)
				}
				return !check || len(files) == 0, err
			})
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only name the files that are not formatted, and fail if there are any")
	return cmd
}
