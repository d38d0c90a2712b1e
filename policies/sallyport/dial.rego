# One total decision out of the rules of package egress.dial.
package sallyport.dial

decision := {
	"deny": {x | some x in data.egress.dial.deny},
	"reasons": {x | some x in data.egress.dial.reasons},
	"audit": {x | some x in data.egress.dial.audit},
}
