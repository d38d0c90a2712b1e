package config

import "strconv"

// A Policy is Rego with a name: a directory, or a bundle.
type Policy struct {
	Name    Text   `yaml:"name" doc:"name that sandboxes use" need:"yes"`
	Dir     Text   `yaml:"dir" doc:"directory of Rego and data files, or a file that is a bundle of them (.tar.gz)"`
	Verify  Verify `yaml:"verify" doc:"who has to have signed the bundle; then an unsigned one is never taken"`
	MaxSize Size   `yaml:"max_size" doc:"of a bundle, packed and unpacked; the default is 64MiB"`
}

// Verify is who has to have signed a bundle.
type Verify struct {
	Key       Text `yaml:"key" doc:"where the public keys are in PEM, of which each counts: env:VARIABLE or file:PATH; the secret for HS256 and the like" need:"yes"`
	KeyID     Text `yaml:"key_id" doc:"name of the key, which the signature has to give; by default any"`
	Algorithm Text `yaml:"algorithm" doc:"RS256, which is the default, or another of RS, PS, ES, HS with 256, 384 or 512"`
	Scope     Text `yaml:"scope" doc:"scope that the signature has to be of; by default none"`
}

// whole says what is missing of policies that are somewhere, one way or another.
func (d *decoder) whole(f *File) {
	for i, p := range f.Policies {
		key := "policies[" + strconv.Itoa(i) + "]"
		if p.Dir.S == "" && p.Name.S != "" {
			d.Add(p.Name.Pos, key, "dir is missing: directory of Rego and data files, or a file that is a bundle of them (.tar.gz)")
		}
	}
}
