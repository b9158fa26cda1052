"""A page that shows what changed between two commits."""
