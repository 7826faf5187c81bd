"""Stages and runs: notebooks executed by Papermill, each in a folder with a manifest, reused unchanged."""
