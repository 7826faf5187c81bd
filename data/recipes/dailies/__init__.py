"""The dailies: what made `data/dailies`, from the shooting script to H.264 files."""
