"""The formats of a store: chunks, frames, packs, recipes, indexes, the log, keys. No network and no git in here."""
