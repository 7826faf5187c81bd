"""The classroom model: a small Wan2.1 image-to-video checkpoint, its architecture and its training recipe."""
