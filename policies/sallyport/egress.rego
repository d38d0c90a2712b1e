# One total decision out of the rules of package egress: what nobody wrote is
# empty, or false.
package sallyport.egress

default allow := false

allow if data.egress.allow

default websocket := false

websocket if data.egress.websocket

decision := {
	"allow": allow,
	"websocket": websocket,
	"deny": {x | some x in data.egress.deny},
	"respond": {x | x := data.egress.respond},
	"rewrite": {x | x := data.egress.rewrite},
	"credentials": {x | some x in data.egress.credentials},
	"set_headers": {x | some x in data.egress.set_headers},
	"remove_headers": {x | some x in data.egress.remove_headers},
	"patch_body": {x | some x in data.egress.patch_body},
	"limits": {x | some x in data.egress.limits},
	"reasons": {x | some x in data.egress.reasons},
	"audit": {x | some x in data.egress.audit},
}

requires_props := {x | some x in data.egress.requires_props}
