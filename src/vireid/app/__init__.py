"""Galleries over HTTP: a REST API with tokens, limits and an audit log; `vireid serve`."""
