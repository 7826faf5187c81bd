"""`cinelib score`: the metrics for any folder of videos, outside any notebook.

`folder` finds, `clips` decodes, `measures` turns one clip into numbers, `ledger` remembers them, `score` runs
and sums up, `notes` tells what to mind, `command` is what the shell sees.
"""
