# The names that may be asked about.
package lib.names

mail := {"example.com", "example.org"}

services := {"_ldap._tcp.corp.example", "_submission._tcp.example.com"}
