"""Import, update, resolve: upstream's changes come here."""
