"""Cinelib: the plumbing behind a workbook on fine-tuning open video generators for cinema.

The lesson is in `notebooks/`; this package holds what would bore its reader. Importing it is cheap:
heavy imports (torch, diffusers) stay inside the modules that need them.
"""

from importlib.metadata import version

__version__ = version("cinelib")
