"""`cinelib score`: the metrics for any folder of videos, outside any notebook.

`clips` finds and decodes, `measures` turns one clip into numbers, `ledger` remembers them, `score` runs
and sums up, `command` is what the shell sees.
"""
