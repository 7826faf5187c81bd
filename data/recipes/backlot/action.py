"""What a subject does: the pose of every part at a time."""

import numpy as np

from backlot.figure import at, sway, turn

ACTIONS = ("walks left", "walks right", "rides left", "rides right", "turns", "gestures")
MOUNTED = ("rider", "biker")
PACE = {"walks": 0.85, "rides": 1.15}  # metres per second


def faces_camera(action: str) -> bool:
    """Whether the figure is seen from the front."""
    return action in ("turns", "gestures")


def root_at(action: str, role: str, facing: int, seconds: float, t: float, phase: float) -> np.ndarray:
    """(3, 3) stage transform of the whole figure at `t`; it is mid-stage at seconds / 2."""
    kind, _, way = action.partition(" ")
    if kind in PACE:
        pace = min(PACE[kind], 2.6 / max(seconds, 1e-6))
        left = way == "left"
        x = pace * (t - seconds / 2) * (-1 if left else 1)
        if role == "biker":
            bob = 0.12 + 0.03 * np.sin(2 * np.pi * 0.9 * t + phase)
        else:
            bob = 0.035 * abs(np.sin(stride(action, t, phase)))
        return at(x, bob, left)
    if kind == "turns":
        return at(0.0, 0.0, False, width=0.78 - 0.24 * np.cos(_turn_angle(t, phase)))
    return at(0.0, 0.0, facing < 0)


def stride(action: str, t: float, phase: float) -> float:
    """Phase of the gait, radians."""
    return 2 * np.pi * (1.0 if action.startswith("walks") else 1.35) * t + phase


def _turn_angle(t: float, phase: float) -> float:
    return 2 * np.pi * 0.45 * t + 0.4 * np.sin(phase)


def pose_at(action: str, role: str, t: float, phase: float) -> dict[str, np.ndarray]:
    """Joint matrices at `t` seconds.

    Raises:
        ValueError: unknown action.
    """
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; known: {', '.join(ACTIONS)}")
    wind = 0.10 * np.sin(2 * np.pi * 0.8 * t + phase)
    if role in MOUNTED:
        return _ride(stride(action, t, phase), wind)
    if action.startswith("walks"):
        return _walk(stride(action, t, phase), wind)
    if action == "turns":
        return _turn(_turn_angle(t, phase), wind)
    return _gesture(t, phase, wind)


def _walk(gait: float, wind: float) -> dict[str, np.ndarray]:
    swing = np.sin(gait)
    pose = {"cape": sway(0.10 + wind), "skirt": sway(0.10 * swing), "head": turn(0.03 * np.sin(2 * gait))}
    for side, sign in (("near", 1), ("far", -1)):
        pose[f"{side} thigh"] = turn(0.52 * sign * swing)
        pose[f"{side} shin"] = turn(-0.15 - 0.55 * max(0.0, float(np.cos(gait) * sign)))
        pose[f"{side} arm"] = turn(-0.50 * sign * swing)
        pose[f"{side} hand"] = turn(0.35)
    return pose


def _ride(gait: float, wind: float) -> dict[str, np.ndarray]:
    pose = {
        "cape": sway(0.12 + wind),
        "neck": turn(0.07 * np.sin(gait)),
        "tail": turn(0.15 * np.sin(gait) - 0.2),
    }
    pose |= {"man": turn(-0.04 + 0.04 * np.sin(gait)), "boot": turn(0.05 * np.sin(gait))}
    for name, lag in (("near hind", 0.0), ("near fore", 1.9), ("far hind", np.pi), ("far fore", 1.9 + np.pi)):
        pose[f"{name} leg"] = turn(0.42 * np.sin(gait + lag))
        pose[f"{name} hoof"] = turn(-0.1 - 0.6 * max(0.0, float(np.cos(gait + lag))))
    return pose


def _turn(angle: float, wind: float) -> dict[str, np.ndarray]:
    lean = np.sin(angle)
    pose = {"cape": sway(0.18 * lean + 0.5 * wind), "skirt": sway(0.08 * lean), "head": sway(0.10 * lean)}
    for side, sign in (("near", 1), ("far", -1)):
        pose[f"{side} arm"] = turn(0.22 * sign + 0.12 * lean)
        pose[f"{side} hand"] = turn(0.2 * sign)
    return pose


def _gesture(t: float, phase: float, wind: float) -> dict[str, np.ndarray]:
    lift = 0.5 - 0.5 * np.cos(2 * np.pi * 0.5 * t + 0.5 * np.sin(phase))
    return {
        "cape": sway(wind),
        "skirt": sway(0.5 * wind),
        "near arm": turn(0.35 + 1.75 * lift),
        "near hand": turn(0.25 + 0.75 * lift),
        "far arm": turn(-0.25),
        "far hand": turn(-0.15),
        "head": turn(-0.05 * lift),
    }
