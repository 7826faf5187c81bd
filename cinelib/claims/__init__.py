"""Notebooks 00 and 08: what the source claims, and what is to be said of it."""
