"""The formats of a store: chunks, frames, packs, recipes, indexes, the log, keys. This room knows neither the network nor git."""
