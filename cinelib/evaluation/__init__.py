"""Notebook 05: the metrics for any folder of videos, and other models to compare with.

`folder` finds, `clips` decodes, `selection` knows the metrics, `score_cache` remembers their numbers, `score`
runs and `summary` sums up, `notes` tells what to mind.
"""
