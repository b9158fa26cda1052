"""Moves objects between this machine and the stores: packs and sends, or fetches, those that the other side lacks."""
