"""Lines of .gitattributes: read, edited, and compared with what git makes of them."""
