"""Keeps the local store small and whole."""
