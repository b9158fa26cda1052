"""Upkeep: what keeps a repository small and whole, without being asked."""
