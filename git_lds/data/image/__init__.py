"""Images: what a file is by its first bytes, and pictures for people."""
