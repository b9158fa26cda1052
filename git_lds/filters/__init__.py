"""Clean and smudge: what git runs for each tracked file. Loads nothing but what most files need."""
