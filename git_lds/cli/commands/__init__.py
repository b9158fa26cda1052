"""The commands for users, one module each."""
