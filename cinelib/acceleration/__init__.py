"""Notebook 04: sampling made faster, one file a technique, and times that can be compared."""
