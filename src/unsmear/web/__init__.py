"""Serving over HTTP: a web page and an API over one engine."""
