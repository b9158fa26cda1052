"""Lines of `.gitattributes`: read, edited, and checked for overrides."""
