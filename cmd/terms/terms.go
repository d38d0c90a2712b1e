// Package terms reads what people say of a sandbox: the same words as flags of run
// and of the client, in a configuration, and over the API.
package terms
