"""Notebook 04: sampling made faster, one file a technique, and times that can be compared.

A technique has `steps`, a `name`, `apply(transformer)` (a context that counts the blocks that run) and
`prove(counter)`, which raises NoEffect where the count is not what it promises. To add one: its file, a line
in notebook 04, a line in `tests/acceleration`.
"""
