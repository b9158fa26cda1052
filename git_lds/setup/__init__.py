"""git-lds in git's configuration, hooks and attributes: put in, taken out, and looked over when something is wrong."""
