"""Tools of agents: which ones may be named, and the MCP servers in which all of them run."""
