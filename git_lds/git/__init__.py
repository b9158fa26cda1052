"""Bytes in and out of git: the only room that starts the git program or imports dulwich."""
