"""Measures how the costs of git-lds grow with a store: the program of scripts/scale."""
