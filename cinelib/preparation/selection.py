"""Which takes become clips: the drop rules, the split into spans of 4k+1 frames, the quota."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cinelib.preparation.sources import Source, sample_indices
from cinelib.preparation.takes import BLACK_LEVEL, Take, same_pictures

SOME_REPEATS, MOST_REPEATS = 0.1, 0.6  # shares of repeated frames that are remarked, and that drop a clip


@dataclass(frozen=True)
class Decision:
    """One line of the report. `decision`: kept, dropped, or ignored (a file or caption that is no footage).

    `start`, `end`: seconds of the source; a kept clip has `num_frames` frames and `end - start` is their
    duration. `take` is None when the whole file is meant.
    """

    file: str
    decision: str
    reason: str = ""
    take: Take | None = None
    start: float = 0.0
    end: float = 0.0
    num_frames: int = 0
    note: str = ""
    clip: str = ""

    def row(self) -> dict[str, object]:
        """One line of `decisions.csv`."""
        return {
            "file": self.file,
            "take": self.take.number if self.take else "",
            "start": f"{self.start:.3f}" if self.take else "",
            "end": f"{self.end:.3f}" if self.take else "",
            "decision": self.decision,
            "reason": self.reason,
            "note": self.note,
            "clip": self.clip,
        }


@dataclass(frozen=True)
class Rules:
    """Limits on clips. `num_frames`: what the model generates, the least that a clip can have."""

    min_seconds: float = 2.0
    max_seconds: float = 5.0
    fps: float = 16
    num_frames: int = 17
    min_activity: float = 0.01
    max_clips: int = 40

    @property
    def shortest(self) -> int:
        """Fewest frames of a clip. N frames span (N - 1) / fps seconds: 33 at 16 fps are 2 s."""
        needed = int(np.ceil(self.min_seconds * self.fps - 1e-6)) + 1
        return max(self.num_frames, needed + (1 - needed) % 4)

    @property
    def longest(self) -> int:
        """Most frames of a clip; never below `shortest`."""
        return max(self.shortest, floor_4k1(int(self.max_seconds * self.fps + 1e-6) + 1))


def floor_4k1(frames: int) -> int:
    """The largest 4k+1 that is at most `frames` (at least 1)."""
    return max(1, frames - (frames - 1) % 4)


def frames_available(take: Take, rules: Rules) -> int:
    """Instants at `rules.fps` in the take that have a source frame within half a frame's time.

    The last may fall on the take's very end, one frame late, where only that reaches the shortest or the
    longest clip: five seconds at any rate are 81 frames at 16 a second.
    """
    half = min(take.end - take.source.times[take.last - 1], 1 / rules.fps) / 2
    strict = int((take.end - half - take.start) * rules.fps + 1e-6) + 1
    whole = int(take.seconds * rules.fps + 1e-3) + 1
    return whole if whole in (rules.shortest, rules.longest) else strict


def faults(take: Take, rules: Rules) -> list[str]:
    """Every reason against the take, with the measured number; empty means that it is good."""
    if take.black:
        return [f"black: no part of the picture is brighter than {BLACK_LEVEL} of 255"]
    found = []
    if take.damaged_at is not None:
        found.append(f"damaged: the decoder patched a broken frame at {take.damaged_at:.2f} s")
    if take.activity < rules.min_activity:
        found.append(
            f"static: {take.activity:.1%} of the picture changes within half a second, "
            f"{rules.min_activity:.1%} is the least"
        )
    frames = floor_4k1(frames_available(take, rules))
    if frames < rules.shortest:
        found.append(
            f"too short: {take.seconds:.2f} s give {frames} frames (4k+1) at {rules.fps:g} fps, "
            f"{rules.shortest} are the least"
        )
    return found


def spans(take: Take, rules: Rules) -> list[tuple[float, int]]:
    """(start, num_frames) of the equal spans that a good take is split into, one after the other."""
    available = frames_available(take, rules)
    pieces = -(-available // rules.longest)
    if floor_4k1(available // pieces) < rules.shortest:
        pieces = available // rules.shortest
    stride = available // pieces
    frames = min(rules.longest, floor_4k1(stride))
    return [(take.start + piece * stride / rules.fps, frames) for piece in range(pieces)]


def decide(sources: Sequence[Source], takes: Sequence[Take], rules: Rules, seed: int = 0) -> list[Decision]:
    """A decision for every file and every take, in the order of files, takes and time."""
    decisions = []
    for source in sources:
        if source.reason:
            text = source.reason.startswith("not a video")
            decisions.append(Decision(source.file, "ignored" if text else "dropped", source.reason))
        for take in (take for take in takes if take.source.file == source.file):
            try:
                decisions.extend(_judge(take, rules))
            except Exception as error:  # it costs this take, not the stage
                reason = f"cannot be judged: {type(error).__name__}: {error}"
                decisions.append(Decision(source.file, "dropped", reason, take, take.start, take.end))
    return _apply_quota(_without_copies(decisions), rules.max_clips, seed)


def _without_copies(decisions: list[Decision]) -> list[Decision]:
    """Drop takes that another file, or another place of it, shows as well: the larger picture stays."""
    kept: dict[tuple[str, int], Take] = {}
    for decision in decisions:
        if decision.decision == "kept":
            kept.setdefault((decision.file, decision.take.number), decision.take)
    copies: dict[tuple[str, int], Take] = {}
    originals: list[tuple[tuple[str, int], Take]] = []
    for key, take in sorted(kept.items(), key=lambda entry: -entry[1].source.height * entry[1].source.width):
        original = next((other for _, other in originals if same_pictures(take, other)), None)
        if original is None:
            originals.append((key, take))
        else:
            copies[key] = original

    def judged(decision: Decision) -> Decision:
        original = copies.get((decision.file, decision.take.number)) if decision.take else None
        if original is None or decision.decision != "kept":
            return decision
        reason = f"duplicate: the pictures of {original.source.file}, take {original.number}"
        return replace(decision, decision="dropped", reason=reason)

    return [judged(decision) for decision in decisions]


def _judge(take: Take, rules: Rules) -> list[Decision]:
    note = "; ".join((*take.notes, *take.source.notes))
    if found := faults(take, rules):
        return [
            Decision(take.source.file, "dropped", "; ".join(found), take, take.start, take.end, note=note)
        ]
    pieces = spans(take, rules)
    decisions = []
    for piece, (start, frames) in enumerate(pieces, start=1):
        split = f"span {piece} of {len(pieces)} of a take of {take.seconds:.2f} s" if len(pieces) > 1 else ""
        share = repeated(take, start, frames, rules.fps)
        again = f"{share:.0%} of its frames repeat the one before" if share >= SOME_REPEATS else ""
        notes = "; ".join(filter(None, (split, again, note)))
        end = start + frames / rules.fps
        decision = Decision(take.source.file, "kept", "", take, start, end, frames, notes)
        if share > MOST_REPEATS:
            reason = f"too few pictures: {share:.0%} of its frames would repeat the one before"
            decision = replace(decision, decision="dropped", reason=reason)
        decisions.append(decision)
    return decisions


def repeated(take: Take, start: float, num_frames: int, fps: float) -> float:
    """Share (0..1) of a clip's frames that show the source frame of the one before."""
    times = take.source.times[take.first : take.last]
    indices = sample_indices(times, start, num_frames, fps, take.end)
    return float((np.diff(indices) == 0).mean()) if num_frames > 1 else 0.0


def _apply_quota(decisions: list[Decision], max_clips: int, seed: int) -> list[Decision]:
    """Keep `max_clips`: round after round, one span of each take, in a random order fixed by `seed`."""
    rng = np.random.default_rng(seed)
    takes: dict[tuple[str, int], list[int]] = {}
    for index, decision in enumerate(decisions):
        if decision.decision == "kept":
            takes.setdefault((decision.file, decision.take.number), []).append(index)
    queues = [list(rng.permutation(indices)) for indices in takes.values()]
    order = [queues[k] for k in rng.permutation(len(queues))]
    rounds = [
        queue[turn]
        for turn in range(max(map(len, queues), default=0))
        for queue in order
        if turn < len(queue)
    ]
    total = len(rounds)
    reason = f"quota: {total} clips are good, max_clips is {max_clips}"
    over = set(rounds[max_clips:])
    return [
        replace(decision, decision="dropped", reason=reason) if index in over else decision
        for index, decision in enumerate(decisions)
    ]


def name_clips(decisions: Sequence[Decision]) -> list[Decision]:
    """Give each kept clip its file name: running number, source, take."""
    named, count = [], 0
    for decision in decisions:
        if decision.decision == "kept":
            stem = "".join(c if c.isalnum() else "-" for c in Path(decision.file).stem)[:40]
            clip = f"clips/{count:03d}_{stem}_take{decision.take.number:02d}.mp4"
            decision, count = replace(decision, clip=clip), count + 1
        named.append(decision)
    return named
