"""Notebook 02: a LoRA in the cross-attention learns a film's look."""
