# One total decision out of the rules of package egress.message.
package sallyport.message

decision := {
	"deny": {x | some x in data.egress.message.deny},
	"reasons": {x | some x in data.egress.message.reasons},
	"audit": {x | some x in data.egress.message.audit},
}
