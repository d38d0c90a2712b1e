# Which presets hold, as reasons.
package egress

import data.sallyport.presets.anthropic
import data.sallyport.presets.containers
import data.sallyport.presets.crates
import data.sallyport.presets.gemini
import data.sallyport.presets.git
import data.sallyport.presets.go
import data.sallyport.presets.linux
import data.sallyport.presets.llm
import data.sallyport.presets.maven
import data.sallyport.presets.mistral
import data.sallyport.presets.npm
import data.sallyport.presets.openai
import data.sallyport.presets.pypi
import data.sallyport.presets.rubygems

reasons contains "npm" if npm.read

reasons contains "npm audit" if npm.audit

reasons contains "pypi" if pypi.read

reasons contains "crates" if crates.read

reasons contains "go" if go.read

reasons contains "maven" if maven.read

reasons contains "rubygems" if rubygems.read

reasons contains "debian" if linux.debian

reasons contains "ubuntu" if linux.ubuntu

reasons contains "alpine" if linux.alpine

reasons contains "git" if git.read

reasons contains "git of ours" if git.read_of({"github.com/ours/app", "gitlab.com/group/sub/*", "git.example.com/Team/app"})

reasons contains "containers" if containers.pull

reasons contains "containers of ours" if containers.pull_of({"docker.io/library/alpine", "ghcr.io/ours/*"})

reasons contains "openai" if openai.inference

reasons contains "anthropic" if anthropic.inference

reasons contains "mistral" if mistral.inference

reasons contains "gemini" if gemini.inference

reasons contains "llm" if llm.inference

deny contains "remote_tools" if llm.remote_tools

allow := true
