"""The HTTP interface: routers, streams, problems, security. Knows the use cases (`app.runs`), not the executor."""
