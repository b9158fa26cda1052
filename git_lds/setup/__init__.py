"""git-lds in git's configuration, hooks and attributes: installed, removed and checked."""
