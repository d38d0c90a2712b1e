package main

// Guards of the library that policies import, and of what they hand to it.
var shelves = []mutant{
	{[]int{430}, "policies/library/lib/paths.rego", "path_under(prefix) if startswith(concat(\"\", [input.request.path, \"/\"]), concat(\"\", [\"/\", trim(prefix, \"/\"), \"/\"]))", "path_under(prefix) if startswith(input.request.path, prefix)", "policy/rego", "TestPathsAsServersReadThem"},
	{[]int{430}, "policies/library/lib/paths.rego", "replace(lower(input.request.path), \"%2f\", \"/\")", "lower(input.request.path)", "policy/rego", "TestPathsAsServersReadThem"},
	{[]int{431}, "policy/rego/lint_library.go", "case h.String() != name:", "case false:", "policy/rego", "TestEntriesThatNoHostHas"},
	{[]int{431}, "policies/library/lib/hosts.rego", "\ti > 0\n\thosts[concat(\"\", [\"*.\", suffix])]", "\ti >= 0\n\thosts[concat(\"\", [\"*.\", suffix])]", "policy/rego", "TestLibraryTests"},
	{[]int{432}, "policy/rego/lint_absent.go", "if !ok || slices.Contains(present, ref.String()) {", "if true || !ok || slices.Contains(present, ref.String()) {", "policy/rego", "TestAbsentUnderNot"},
	{[]int{433}, "policy/rego/library.go", "all[\"sallyport:\"+file] = m // no name of an author's file", "all[file] = m", "policy/rego", "TestLibraryIsNobodysFile"},
	{[]int{98}, "policy/rego/lint_relays.go", "if does := known[\"*.\"+after]; does != \"\" {", "if does := known[after]; does != \"\" {", "policy/rego", "TestRelaysAreWarnedOf"},
	{[]int{98}, "policies/library/guards/relays.rego", "host if lib.host_in(relays.hosts)", "host if lib.host_in({h | some h, _ in relays.writes})", "policy/rego", "TestGuardRails"},
	{[]int{434}, "policies/library/guards/minting.rego", "labels[label]", "label == labels", "policy/rego", "TestGuardRails"},
	{[]int{434}, "policies/library/packs/minting.rego", "\"/repos/*/*/keys/**\": \"deploy key\",", "\"/repos/*/keys/**\": \"deploy key\",", "policy/rego", "TestGuardRails"},
	{[]int{435}, "policies/library/presets/git.rego", "\tinput.request.query == {\"service\": [\"git-upload-pack\"]}\n", "\tinput.request.query.service\n", "policy/rego", "TestLibraryTests"},
	{[]int{435}, "policies/library/presets/npm.rego", "not lib.path_near(\"/-\")", "not lib.path_under(\"/-\")", "policy/rego", "TestLibraryTests"},
	{[]int{435}, "policies/library/presets/containers.rego", "actions == \"pull\"", "startswith(actions, \"pull\")", "policy/rego", "TestLibraryTests"},
	{[]int{436}, "policies/library/lib/values.rego", "`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`", "`^[a-z0-9]([a-z0-9./-]{0,61}[a-z0-9])?$`", "policy/rego", "TestLibraryTests"},
}
