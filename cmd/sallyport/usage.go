package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpful makes a command, and those below it, say what is wrong with a command
// line, and how one is written.
func helpful(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(flagError)
	if fit := cmd.Args; fit != nil && !cmd.HasSubCommands() {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if fit(cmd, args) == nil {
				return nil
			}
			wrong := "an argument is missing"
			for more := args; len(more) > 0; more = more[:len(more)-1] {
				if fit(cmd, more) == nil || len(more) == 1 && fit(cmd, nil) == nil {
					wrong = fmt.Sprintf("%q has no place here", args[len(args)-1])
				}
			}
			return fmt.Errorf("%s: %s; expected %s", nameOf(cmd), wrong, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
	}
	for _, c := range cmd.Commands() {
		helpful(c)
	}
}

func nameOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// flagError says what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	see := "see " + cmd.CommandPath() + " --help"
	if e := (*pflag.NotExistError)(nil); errors.As(err, &e) && e.GetSpecifiedName() != "" && e.GetSpecifiedShortnames() == "" {
		best, far := "", 3
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if n := levenshtein.ComputeDistance(e.GetSpecifiedName(), f.Name); n < far && n < len(f.Name) && !f.Hidden {
				best, far = f.Name, n
			}
		})
		if best != "" {
			see = "did you mean --" + best + "?"
		}
		return fmt.Errorf("%s: unknown flag: --%s; %s", nameOf(cmd), e.GetSpecifiedName(), see)
	}
	if e := (*pflag.InvalidValueError)(nil); errors.As(err, &e) {
		want := "see " + cmd.CommandPath() + " --help"
		switch e.GetFlag().Value.Type() {
		case "int":
			want = "expected a whole number"
		case "duration":
			want = "expected a time such as 30s or 5m"
		case "bool":
			want = "expected true or false"
		}
		return fmt.Errorf("--%s %q: %s", e.GetFlag().Name, e.GetValue(), want)
	}
	if e := (*pflag.ValueRequiredError)(nil); errors.As(err, &e) {
		return fmt.Errorf("--%s: its value is missing; %s", e.GetFlag().Name, see)
	}
	return fmt.Errorf("%s: %w; %s", nameOf(cmd), err, see)
}
