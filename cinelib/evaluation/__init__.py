"""Notebook 05: the metrics for any folder of videos, and other models to compare with.

`folder` finds, `clips` decodes, `measures` turns one clip into numbers, `score_cache` remembers them, `score`
runs and sums up, `notes` tells what to mind.
"""
