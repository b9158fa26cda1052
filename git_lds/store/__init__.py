"""A store: the bytes in it, the places that hold one, and the client that reads and writes it."""
