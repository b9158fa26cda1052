"""A page that shows what changed between two commits, and the checks that need no person."""
