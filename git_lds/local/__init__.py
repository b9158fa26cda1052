"""Objects on this machine: the precious local store, the re-fetchable cache, and one look at all of them."""
