package main

// Guards of how credentials are placed and looked for.
var placing = []mutant{
	{[]int{450}, "credentials/automaton.go", "case n == at+1:\n", "case false:\n", "credentials", "TestAutomatonIsSmall"},
	{[]int{450}, "credentials/automaton.go", "uint8(a.window-block-at)", "uint8(a.window-block)", "credentials", "TestAutomatonIsNaive"},
	{[]int{451}, "credentials/inplace.go", "\tclear(p[goes:])\n", "", "credentials", "TestRoomDoesNotMatter"},
	{[]int{451}, "credentials/inplace.go", "\ts.scan.at = at\n", "\ts.scan.at = 0\n", "credentials", "TestRoomDoesNotMatter"},
}
