"""Notebook 03: styled keyframes become a coherent sequence."""
