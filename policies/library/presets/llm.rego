# The APIs of models, together, and what a question may ask its provider to do.
package sallyport.presets.llm

import data.sallyport.presets.anthropic
import data.sallyport.presets.gemini
import data.sallyport.presets.mistral
import data.sallyport.presets.openai

# inference holds for a question to a model of any of these providers.
inference if openai.inference

inference if anthropic.inference

inference if gemini.inference

inference if mistral.inference

# remote_tools holds for a question that lets the provider reach others in its turn: a tool that
# it runs itself, such as a search, a page to fetch or a server of MCP. It reads the body, of
# which 64 KiB are known: a longer one is refused as uncertain.
remote_tools if {
	some tool in input.request.body.tools
	not _own(tool)
}

remote_tools if input.request.body.mcp_servers

remote_tools if input.request.body.web_search_options

remote_tools if input.request.body.plugins

# Tools that the caller runs: functions, and those that Anthropic's models know.
_own(tool) if tool.type in {"function", "custom"}

_own(tool) if {
	some kind in ["bash_", "text_editor_", "computer_", "memory_"]
	startswith(tool.type, kind)
}

_own(tool) if {
	not tool.type
	is_string(tool.name)
}

_own(tool) if {
	keys := object.keys(tool)
	count(keys - {"functionDeclarations", "function_declarations"}) == 0
}
