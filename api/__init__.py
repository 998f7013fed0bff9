"""The HTTP API: requests become commands and queries, and their outcomes become answers."""
