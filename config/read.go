package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a file: no configuration is that long.
const maxFile = 4 << 20

// Load reads a file over the defaults. The error is a *Problems when the file
// could be read.
func Load(path string) (*File, error) {
	f, form, err := Draft(path)
	if err == nil {
		err = form.Err()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Parse is Load of a text that came from a file of this name.
func Parse(name string, text []byte) (*File, error) {
	f, form := draft(name, text)
	if err := form.Err(); err != nil {
		return nil, err
	}
	return f, nil
}

// Draft reads a file as far as its form lets it, and says what is wrong with that.
// The file is nil when it is no YAML.
func Draft(path string) (*File, *Problems, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the configuration: %w", err)
	}
	f, form := draft(path, b)
	return f, form, nil
}

func draft(name string, text []byte) (*File, *Problems) {
	d := &decoder{Problems: Problems{File: name}}
	f := Default()
	if len(text) > maxFile {
		d.Add(Pos{}, "", "the file is longer than %d bytes", maxFile)
		return nil, &d.Problems
	}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		d.syntax(err)
		return nil, &d.Problems
	}
	docs := 0
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if docs++; docs > 1 {
			d.Add(pos(doc.Body), "", "a second document; a configuration is one")
			break
		}
		d.value("", doc.Body, reflect.ValueOf(f).Elem())
	}
	d.whole(f)
	if f.Audit.Dir.Pos == (Pos{}) {
		f.Audit.Dir.S = filepath.Join(f.State.S, "audit")
	}
	f.place(filepath.Dir(name))
	return f, &d.Problems
}

// yamlWords are what the parser of YAML says, and what it means to who wrote the file.
var yamlWords = []struct{ said, means string }{
	{"tab character", "a tab; lines are indented with spaces"},
	{"'\t' that cannot start any token", "a tab; lines are indented with spaces"},
	{"sequence end token", "a list that begins with [ does not end"},
	{"could not find flow map", "a mapping that begins with { does not end"},
	{"end character of", "a text in quotes does not end"},
	{"mapping value is not allowed", "a colon too many, or a next line that is indented otherwise; a text with a colon stands in quotes"},
	{"value is not allowed", "this is indented otherwise than what stands beside it"},
	{"reserved character", "a text does not begin with this character, unless it stands in quotes"},
}

// inWords is a message of the parser without its own terms, as far as they are known.
func inWords(message string) string {
	for _, w := range yamlWords {
		if strings.Contains(message, w.said) {
			return w.means
		}
	}
	return message
}
