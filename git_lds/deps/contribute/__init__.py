"""Local fixes of a dependency become a branch of upstream or of a fork."""
