"""The formats of a store: chunks, frames, packs, recipes, indexes, the log, the keys. No network and no git in here."""
