"""What the other repository has: its commits, files, attributes and stores."""
