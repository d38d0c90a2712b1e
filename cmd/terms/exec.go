package terms

import (
	"fmt"
	"time"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/command"
)

// Programs are those that a configuration has run, as far as they can be told
// without looking.
func Programs(f *config.File) (out []command.Spec) {
	for _, c := range f.Credentials {
		if c.Source.Exec.At != (config.Pos{}) {
			out = append(out, programOf(c.Source.Exec, c.Bind.To))
		}
	}
	return out
}

func programOf(c config.Exec, to config.Text) command.Spec {
	s := command.Spec{Protocol: command.Protocol(c.Protocol.S), Args: texts(c.Command), Host: c.Host.S, Timeout: c.Timeout.D}
	for _, p := range c.Env {
		if s.Env == nil {
			s.Env = map[string]string{}
		}
		s.Env[p.Key.S] = p.Value.S
	}
	if b, err := credentials.ParseOrigin(to.S); err == nil && s.Host == "" && s.Protocol.Asks() {
		s.Host = b.Host.String()
		if b.Port != 443 {
			s.Host = b.Host.String() + ":" + fmt.Sprint(b.Port)
		}
		if s.Protocol == command.Docker {
			s.Host = "https://" + s.Host
		}
	}
	return s.Usual()
}

// exec opens a program.
func (o *opening) exec(c config.Exec, to config.Text) (credentials.Source, credentials.Terms) {
	run := o.Runner
	if run == nil {
		run = command.Here{}
	}
	src, err := command.New(programOf(c, to), run, o.UID)
	if err != nil {
		at := c.Protocol
		if len(c.Command) > 0 {
			at = c.Command[0]
		}
		o.wrong(at, "", "%v", err)
		return nil, credentials.Terms{}
	}
	return src, credentials.Terms{Timeout: src.Spec().Timeout + time.Second, Life: c.Life.D}
}
