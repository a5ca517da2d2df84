"""Servers that are too slow to start for `make check`, on loopback."""
