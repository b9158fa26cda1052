"""Text, line by line."""
