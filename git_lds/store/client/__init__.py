"""The smart client of a store: reads its log and indexes, adds entries, and caches results."""
