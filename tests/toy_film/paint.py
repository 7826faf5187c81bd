"""A module whose source is part of a stage's identity."""


def colour(count: int, width: int) -> str:
    """`count` groups of `width` letters."""
    return " ".join("r" * width for _ in range(count))
