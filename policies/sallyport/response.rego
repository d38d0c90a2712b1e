# One total decision out of the rules of package egress.response.
package sallyport.response

decision := {
	"deny": {x | some x in data.egress.response.deny},
	"set_headers": {x | some x in data.egress.response.set_headers},
	"remove_headers": {x | some x in data.egress.response.remove_headers},
	"patch_body": {x | some x in data.egress.response.patch_body},
	"limits": {x | some x in data.egress.response.limits},
	"reasons": {x | some x in data.egress.response.reasons},
	"audit": {x | some x in data.egress.response.audit},
}
