"""Colours of cloth and light: what set, sky and costumes are painted with (display RGB, 0..1)."""

from dataclasses import dataclass

RGB = tuple[float, float, float]

COLOURS: dict[str, RGB] = {
    "crimson": (0.78, 0.06, 0.12),
    "emerald": (0.05, 0.58, 0.32),
    "blue": (0.12, 0.28, 0.80),
    "yellow": (0.95, 0.78, 0.12),
    "violet": (0.50, 0.18, 0.68),
    "orange": (0.95, 0.45, 0.08),
    "white": (0.92, 0.92, 0.90),
    "black": (0.13, 0.13, 0.16),
    "turquoise": (0.08, 0.68, 0.72),
    "pink": (0.95, 0.42, 0.62),
}
TRIMS: dict[str, RGB] = {
    "gold": (0.95, 0.72, 0.22),
    "silver": (0.78, 0.80, 0.86),
    "white": (0.95, 0.95, 0.93),
    "black": (0.10, 0.10, 0.12),
}
FILM_PALETTE = ("crimson", "gold")

SKIN: tuple[RGB, ...] = ((0.95, 0.78, 0.65), (0.80, 0.58, 0.42), (0.55, 0.36, 0.25), (0.38, 0.25, 0.18))
STEEL: RGB = (0.66, 0.69, 0.74)
DARK: RGB = (0.16, 0.14, 0.15)
LEATHER: RGB = (0.42, 0.27, 0.16)


@dataclass(frozen=True)
class Light:
    """One lighting of a scene: sky, what reaches a surface, haze, and what the lamps do."""

    name: str
    phrase: str
    sky: tuple[RGB, RGB, RGB]  # zenith, middle, horizon
    ambient: RGB
    figure: RGB
    rim: RGB
    haze: RGB
    density: float  # haze per metre
    lamps: float  # strength of the set's lamps
    lamp_colours: tuple[RGB, ...]
    window: RGB
    flicker: float
    stars: bool


WARM: RGB = (1.0, 0.58, 0.22)
LIGHTS: dict[str, Light] = {
    "day": Light(
        "day", "daylight", ((0.24, 0.50, 0.86), (0.50, 0.73, 0.94), (0.86, 0.92, 0.94)),
        (0.98, 0.97, 0.93), (1.06, 1.03, 0.98), (1.0, 0.98, 0.90), (0.76, 0.85, 0.92), 0.010,
        0.0, (WARM,), (0.22, 0.26, 0.32), 0.0, False,
    ),
    "dusk": Light(
        "dusk", "dusk", ((0.17, 0.14, 0.38), (0.62, 0.28, 0.42), (1.0, 0.62, 0.28)),
        (0.58, 0.43, 0.50), (0.82, 0.64, 0.62), (1.0, 0.62, 0.30), (0.86, 0.48, 0.36), 0.016,
        0.35, (WARM,), (1.0, 0.76, 0.36), 0.0, False,
    ),
    "torch": Light(
        "torch", "torch light", ((0.02, 0.03, 0.10), (0.05, 0.07, 0.18), (0.12, 0.13, 0.26)),
        (0.17, 0.18, 0.29), (0.86, 0.66, 0.48), (1.0, 0.62, 0.25), (0.08, 0.09, 0.18), 0.012,
        1.25, (WARM,), (1.0, 0.68, 0.26), 0.08, True,
    ),
    "candle": Light(
        "candle", "candle light", ((0.03, 0.03, 0.09), (0.05, 0.06, 0.15), (0.10, 0.10, 0.20)),
        (0.22, 0.17, 0.18), (0.90, 0.70, 0.50), (1.0, 0.70, 0.36), (0.12, 0.08, 0.07), 0.010,
        1.0, ((1.0, 0.68, 0.34),), (0.20, 0.26, 0.48), 0.05, True,
    ),
    "neon": Light(
        "neon", "neon light", ((0.03, 0.02, 0.10), (0.14, 0.05, 0.26), (0.36, 0.10, 0.42)),
        (0.26, 0.22, 0.40), (0.74, 0.68, 0.92), (0.25, 0.95, 1.0), (0.26, 0.10, 0.36), 0.014,
        1.1, ((1.0, 0.16, 0.62), (0.10, 0.85, 1.0)), (0.45, 0.95, 1.0), 0.0, True,
    ),
}  # fmt: skip


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """`first` with `share` of `second`."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))


def tint(colour: RGB, gain: float) -> RGB:
    """`colour` brighter or darker, kept inside 0..1."""
    return tuple(min(1.0, max(0.0, channel * gain)) for channel in colour)
