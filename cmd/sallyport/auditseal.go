package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/audit"
)

func auditVerifyCommand() *cobra.Command {
	var key string
	var anchors []string
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Check that nothing in a log was changed",
		Long: `verify holds a log, or that of the newest run when no DIR is given, to its chain
and to what its keys signed. It exits with 1 when the log does not hold.

By itself it shows that a log agrees with itself. With what was kept elsewhere it
shows that it is the log that was written: --anchor takes what 'sallyport audit
checkpoint' printed at some time, --key the first key. Then each record has to be
signed, and what it cannot know is said at the end.`,
		Example: `  sallyport audit verify
  sallyport audit verify --anchor monday.checkpoint /var/lib/sallyport/audit
  sallyport audit verify --key "$(cat sallyport.pub)" /var/lib/sallyport/audit`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := logDir(args)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("key") && !audit.IsKey(key) {
				return fmt.Errorf("--key %q is no key: expected what 'sallyport audit checkpoint --key' prints", key)
			}
			expect := audit.Expect{Key: key}
			for _, file := range anchors {
				b, err := readFew(file)
				if err != nil {
					return fmt.Errorf("--anchor: %w", err)
				}
				a, err := audit.ParseAnchor(b)
				if err != nil {
					return fmt.Errorf("--anchor %s: %w; expected what 'sallyport audit checkpoint' prints", file, err)
				}
				expect.Anchors = append(expect.Anchors, a)
			}
			rep, err := audit.Verify(dir, expect)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), rep)
			if !rep.OK() {
				return &exitError{code: 1}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log is one that this `KEY` began to sign")
	cmd.Flags().StringArrayVar(&anchors, "anchor", nil, "the log is one of which this `FILE` was kept, a checkpoint; can be repeated")
	return cmd
}

func auditCheckpointCommand() *cobra.Command {
	var key bool
	cmd := &cobra.Command{
		Use:   "checkpoint [DIR]",
		Short: "Print what was signed last of a log, to be kept elsewhere",
		Long: `checkpoint prints the last signed checkpoint of a log, or of the newest run's when
no DIR is given: how many records there were, and the root of the tree over them
(C2SP tlog-checkpoint). Whoever keeps it can show later that the log only grew.
A log that is written is signed every 10 seconds, and when it is closed.`,
		Example: `  sallyport audit checkpoint > monday.checkpoint
  sallyport audit checkpoint --key /var/lib/sallyport/audit > sallyport.pub`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := logDir(args)
			if err != nil {
				return err
			}
			text, first, err := audit.LastCheckpoint(dir)
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			if key {
				text = first + "\n"
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().BoolVar(&key, "key", false, "print the first key that signed the log instead")
	return cmd
}

func auditProveCommand() *cobra.Command {
	var check, key string
	cmd := &cobra.Command{
		Use:   "prove ID [DIR] | --check FILE --key KEY",
		Short: "Prove that a record is in a log, or check such a proof",
		Long: `prove prints a proof that a record is in a log, or in the newest run's when no DIR
is given: the record, the hashes from it to the root of the tree, the checkpoint
that has the root, and the keys that lead to who signed it. Whoever has the proof
and the first key can check it without the log, here with --check, or by RFC 6962
and C2SP signed-note. ID is the event.id of the record; a refusal names that of
its decision.`,
		Example: `  sallyport audit prove 01a212db-05c2-7711-8078-d63dcaba3acc > proof.json
  sallyport audit prove --check proof.json --key "$(cat sallyport.pub)"`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case check != "" && (len(args) > 0 || key == ""):
				return errors.New("--check takes a proof and --key, and no log")
			case check != "" && !audit.IsKey(key):
				return fmt.Errorf("--key %q is no key: expected what 'sallyport audit checkpoint --key' prints", key)
			case check != "":
				return checkProof(cmd.OutOrStdout(), check, key)
			case key != "":
				return errors.New("--key is for --check")
			case len(args) == 0:
				return errors.New("which record? Name its event.id, as in: sallyport audit prove ID DIR")
			}
			dir, err := logDir(args[1:])
			if err != nil {
				return err
			}
			p, err := audit.Prove(dir, args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(p)
		},
	}
	cmd.Flags().StringVar(&check, "check", "", "check the proof in `FILE`")
	cmd.Flags().StringVar(&key, "key", "", "the first `KEY` that signed the log")
	return cmd
}

func checkProof(w io.Writer, file, key string) error {
	b, err := readFew(file)
	if err != nil {
		return fmt.Errorf("--check: %w", err)
	}
	var p audit.Proof
	if err := json.Unmarshal(b, &p); err != nil {
		return fmt.Errorf("--check %s: this is no proof; expected what 'sallyport audit prove' prints", file)
	}
	if err := p.Check(key); err != nil {
		fmt.Fprintf(w, "%s proves nothing: %v\n", file, err)
		return &exitError{code: 1}
	}
	fmt.Fprintf(w, "%s: record %d is in the log that %s began to sign\n%s\n", file, p.Index+1, strings.TrimSpace(key), p.Record)
	return nil
}

// readFew reads a file that is not long.
func readFew(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 4 << 20
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s is longer than %d bytes", name, most)
	}
	return b, err
}
