package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/policy/rego"
)

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, test, format and list policies",
		Example: `  sallyport policy check ./policy && sallyport policy test ./policy
  sallyport policy ls`,
	}
	cmd.AddCommand(policyCheckCommand(), policyEvalCommand(), policyTestCommand(), policyFmtCommand(), policyListCommand())
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

func policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "test DIR…",
		Short:   "Run a policy's own tests",
		Long:    "test runs the rules whose names begin with test_ in files that end in _test.rego. A policy without tests fails.",
		Example: "  sallyport policy test ./policy",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return everyDir(args, func(dir string) (bool, error) { return testPolicy(cmd.Context(), cmd.OutOrStdout(), dir) })
		},
	}
}

func testPolicy(ctx context.Context, w io.Writer, dir string) (bool, error) {
	passed, failed, err := rego.Test(ctx, dir, w)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(w, "%s: %d passed, %d failed\n", dir, passed, failed)
	if passed+failed == 0 {
		return false, fmt.Errorf("%s: there are no tests: write rules named test_… in files that end in _test.rego", dir)
	}
	return failed == 0, nil
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
