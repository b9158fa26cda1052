"""Backends, which hold a store: a directory, an HTTP server, a bucket; their contract, and opening one by URL."""
