"""Commands for programs that act by themselves: the referee, and the MCP server."""
