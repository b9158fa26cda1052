"""Objects on this machine: the local store, which must not be lost, the cache, and one look-up in all of them."""
