"""Push, fetch, pull, checkout and status: objects follow their pointers through git."""
