"""Moves objects between this machine and the stores: what is missing there is packed and sent, what is missing here fetched."""
