"""Stages and runs: notebooks executed by Papermill, each in its folder with a manifest, reused while unchanged."""
