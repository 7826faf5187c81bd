"""The base model: what a Wan checkpoint is, how it is loaded, conditioned and sampled."""
