package main

// Guards of how credentials are placed and looked for.
var placing = []mutant{
	{[]int{450}, "credentials/automaton.go", "case n == at+1:\n", "case false:\n", "credentials", "TestAutomatonIsSmall"},
	{[]int{450}, "credentials/automaton.go", "uint8(window-block-at)", "uint8(window-block)", "credentials", "TestAutomatonIsNaive"},
}
