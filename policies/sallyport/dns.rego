# One total decision out of the rules of package egress.dns.
package sallyport.dns

default allow := false

allow if data.egress.dns.allow

decision := {
	"allow": allow,
	"deny": {x | some x in data.egress.dns.deny},
	"reasons": {x | some x in data.egress.dns.reasons},
	"audit": {x | some x in data.egress.dns.audit},
}
