// Command sallyport is the one way out of a sandbox: it decides every request
// with Rego, adds the credentials that the code inside never sees, and records
// what was asked, decided and done.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"sallyport/cmd/words"
	"sallyport/sandbox/netns"
)

func main() {
	if netns.Main() { // the first process inside a sandbox
		return
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// net/http writes bytes of upstreams here, which may be an echo of a secret;
	// what went wrong is in the records.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// An exitError carries the exit code of what failed. One without a message has
// said what there is to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// gcPercent lets garbage grow to four times what lives, which is some 20 MB: a
// proxy makes much and keeps little. The sidecar lets it grow less when it is more.
const gcPercent = 400

// codeFailed is what every failure of sallyport itself exits with.
const codeFailed = 125

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := codeFailed
	if e := (*exitError)(nil); errors.As(err, &e) {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	fmt.Fprintf(stderr, "sallyport: %s\n", words.Plain(err.Error()))
	return code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "The one controlled way out of a sandbox",
		Long: `sallyport runs untrusted code in a sandbox whose only way to the network is
sallyport itself. Every request is decided by Rego, given the credentials that
the code never sees, and recorded before it has an effect.`,
		Example: `  sallyport demo
  sallyport run --allow example.com -- curl -sS https://example.com/
  sallyport run --policy ./policy --credential 'github=env:GITHUB_TOKEN@https://api.github.com' -- python3 agent.py`,
		Version:       words.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		demoCommand(), runCommand(), serveCommand(),
		joinCommand(), attachCommand(), relayCommand(), gatewayCommand(),
		sandboxCommand(), statusCommand(), decisionsCommand(), credentialCommand(),
		caCommand(), configCommand(), policyCommand(), auditCommand(),
		demoClientCommand(), demoOriginCommand(), brokerCommand())
	helpful(root)
	return root
}

// group makes a command that only has others: one that it does not have is an error.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := "see " + cmd.CommandPath() + " --help"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 && len(near[0]) > cmd.SuggestionsMinimumDistance {
			hint = "did you mean " + near[0] + "?"
		}
		return fmt.Errorf("%s has no command %q; %s", cmd.CommandPath(), args[0], hint)
	}
	cmd.SuggestionsMinimumDistance = 2
	return cmd
}
