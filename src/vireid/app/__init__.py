"""Galleries over HTTP: a search page and a REST API with tokens, limits and an audit log; `vireid serve`."""
