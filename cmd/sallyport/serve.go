package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/cmd/sidecar"
	"sallyport/cmd/words"
	"sallyport/config"
)

const defaultConfig = "/etc/sallyport/sallyport.yaml"

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve [-c FILE]",
		Short: "Stand beside many sandboxes as their only way out",
		Long: `serve runs the sidecar: one process that decides, equips and records what many
sandboxes send, each with its own identity, policy and properties. It is
commanded on its control socket, by 'sallyport sandbox' or any HTTP client.

SIGHUP, or a change of the file, reads policies, credentials and sandboxes again:
all of it is taken, or nothing and the old stays. SIGTERM drains and stops.

Before it listens it gives up every capability, the way back to any, and what it
never does: a system call filter and Landlock leave it files that the configuration
names, and TCP, UDP and Unix sockets. Started by root it becomes the 'user' of the
configuration. 'sallyport status' shows what it may, by the kernel's word.`,
		Example: `  sallyport serve -c sallyport.yaml
  sallyport config check sallyport.yaml
  sallyport run --sidecar /run/sallyport/control.sock --name build -- make test`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := sidecar.Confine(file); err != nil {
				return err
			}
			return sidecar.Serve(cmd.Context(), file)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "read the configuration from `FILE`")
	return cmd
}

// brokerCommand is what serve starts beside itself where a configuration has programs run.
func brokerCommand() *cobra.Command {
	return &cobra.Command{Use: "broker", Hidden: true, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return sidecar.Broker() }}
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check a configuration, or print its schema", Example: "  sallyport config check /etc/sallyport/sallyport.yaml\n  sallyport config schema > sallyport.schema.json"}
	cmd.AddCommand(configCheckCommand(), &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of a configuration, for editors",
		Example: "  sallyport config schema > sallyport.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	})
	return group(cmd)
}

func configCheckCommand() *cobra.Command {
	var elsewhere bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say everything that is wrong with a configuration and what it names",
		Long: `check reads a configuration as serve does, with its policies and credentials, and
looks at the directories and addresses that it names, as the user who runs it.
What is taken and is likely not meant is told as advice. It exits with 1 when
serve would not take it.`,
		Example: `  sallyport config check /etc/sallyport/sallyport.yaml
  sallyport config check --elsewhere deploy/sallyport.yaml   # for another machine`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&elsewhere, "elsewhere", false, "the file is for another machine: leave out the directories and addresses of this one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := sidecar.Check(cmd.Context(), args[0], elsewhere)
		if err != nil {
			fmt.Fprintln(cmd.OutOrStdout(), words.Plain(err.Error()))
			return &exitError{code: 1}
		}
		for _, line := range c.Advice {
			fmt.Fprintln(cmd.OutOrStdout(), "advice:", line)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", args[0])
		return nil
	}
	return cmd
}
