# One total decision out of the rules of package egress.connect.
package sallyport.connect

default allow := false

allow if data.egress.connect.allow

default opaque := false

opaque if data.egress.connect.opaque

decision := {
	"allow": allow,
	"opaque": opaque,
	"deny": {x | some x in data.egress.connect.deny},
	"limits": {x | some x in data.egress.connect.limits},
	"reasons": {x | some x in data.egress.connect.reasons},
	"audit": {x | some x in data.egress.connect.audit},
}
