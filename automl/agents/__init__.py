"""For agents: an MCP server whose tools are the commands, and an allowance that they cannot exceed."""
