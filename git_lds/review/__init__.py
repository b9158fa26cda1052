"""A page that shows how data changed between two commits."""
