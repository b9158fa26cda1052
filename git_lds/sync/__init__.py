"""Push, fetch, checkout and status: objects follow what git does with their pointers."""
