"""What the user and the repository configured, and who the user is at a store."""
