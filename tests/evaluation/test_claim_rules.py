"""The verdicts of notebooks 03, 04 and 05 on recorded tables: what claims ask, and how they may come out."""

import ast
import re

import numpy as np
import pandas as pd
import pytest
from course import NOTEBOOKS

from cinelib.statistics import Answer, ask

SHOWN, REFUTED, UNKNOWN = Answer.SHOWN, Answer.REFUTED, Answer.UNKNOWN


def rules(notebook):
    """The functions `questions` and, where there is one, `claims` or `claim`, and what they stand on."""
    tree = ast.parse((NOTEBOOKS / "source" / f"{notebook}.py").read_text("utf-8"))
    wanted = {"questions", "claims", "claim"}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    constants = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign)
        and {name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)}
        <= {"NOTICED", "OTHER_CLOTH", "HALF", "MARGIN"}
    ]
    imports = [
        node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "cinelib.statistics"
    ]
    space = {"np": np, "pd": pd}
    exec(compile(ast.Module([*imports, *constants, *functions], []), notebook, "exec"), space)
    return space


EVALUATION, ACCELERATION, MOTION = map(
    rules, ("05_evaluation", "04_inference_acceleration", "03_motion_stage")
)
GOOD = {"grade": -8, "lighting": -5, "costume": 2, "drift": -3, "flicker": -1, "stability": 6, "speed": 0}
PLAIN = {"grade": 25, "lighting": 14, "costume": 14, "drift": 5, "flicker": 2, "stability": 40, "speed": 0.3}


def recorded(gains=(), control=(), scenes=8, noise=0.2, seed=0):
    """A table as notebook 05 records it: base, control and LoRA; gains are of the LoRA over base."""
    rng = np.random.default_rng(seed)
    hard = {name: rng.normal(0, value / 8, scenes) for name, value in PLAIN.items()}
    shifts = {"base": {}, "control": dict(control), "LoRA": GOOD | dict(gains)}
    rows = [
        {"place": "home", "arm": arm, "scene": f"scene {k}"}
        | {
            name: max(value + hard[name][k] + shift.get(name, 0) + rng.normal(0, noise * value / 14), 0.01)
            for name, value in PLAIN.items()
        }
        for arm, shift in shifts.items()
        for k in range(scenes)
    ]
    film = [{"place": "home", "arm": "real", "scene": f"film {k}", "grade": 12.0} for k in range(40)]
    away = [{"place": "away", "arm": "LoRA", "scene": "scene 0", "grade": 99.0}]
    return pd.DataFrame(rows + film + away)


def sequences(scenes=8, gain=-6.0, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"arm": arm, "scene": f"scene {k}", "grade": 25 + shift + rng.normal(0, 0.3)}
        for arm, shift in {"base": 0, "lora": gain, "dissolve": gain}.items()
        for k in range(scenes)
    )


def answers(table, made=None):
    found = ask(EVALUATION["questions"](table, sequences() if made is None else made))
    return {name: one.answer for name, one in found.items()}


def judged(table, made=None):
    found = EVALUATION["claims"](answers(table, made))
    return found["claim_11"], found["claim_15"]


def test_a_clear_gain_holds_and_all_of_it_are_six_questions():
    assert judged(recorded()) == (SHOWN, SHOWN)
    found = ask(EVALUATION["questions"](recorded(), sequences()))
    assert {one.p_holm for one in found.values()} == {6 * 2 / 2**8}


@pytest.mark.parametrize(
    ("gains", "eleven", "fifteen"),
    [
        ({"grade": 8}, REFUTED, REFUTED),
        ({"lighting": 8}, REFUTED, SHOWN),
        ({"costume": 25}, REFUTED, SHOWN),
        ({"drift": 5}, REFUTED, REFUTED),
        ({"drift": 1}, SHOWN, REFUTED),  # surely more, and not noticed
        ({"flicker": 5}, REFUTED, REFUTED),
        ({"flicker": 1}, SHOWN, REFUTED),
        ({"stability": -8}, SHOWN, REFUTED),
        ({"speed": -0.25}, SHOWN, UNKNOWN),  # it stands still
        ({"grade": 0.0}, UNKNOWN, UNKNOWN),
        ({"stability": 0.0}, SHOWN, UNKNOWN),
    ],
)
def test_each_part_can_sink_its_claims(gains, eleven, fifteen):
    assert judged(recorded(gains)) == (eleven, fifteen)


def test_a_control_that_does_as_well_withholds():
    assert judged(recorded(control={"grade": -8})) == (UNKNOWN, UNKNOWN)
    assert judged(recorded(control={"grade": -20})) == (UNKNOWN, UNKNOWN)
    assert judged(recorded(control={"lighting": -5})) == (UNKNOWN, SHOWN)


@pytest.mark.parametrize(
    "made", [sequences(1), sequences(2), sequences(6), sequences(gain=0), sequences(gain=4)]
)
def test_sequences_that_are_few_or_no_nearer_withhold_claim_11(made):
    assert judged(recorded(), made) == (UNKNOWN, SHOWN)


@pytest.mark.parametrize("scenes", [2, 4, 6])
def test_few_scenes_decide_nothing_either_way(scenes):
    for gains in ({}, {name: -gain for name, gain in GOOD.items()}):
        assert judged(recorded(gains, scenes=scenes)) == (UNKNOWN, UNKNOWN)


def test_what_was_not_measured_is_open():
    assert judged(recorded().drop(columns="costume")) == (UNKNOWN, SHOWN)
    assert judged(recorded().assign(costume=np.nan)) == (UNKNOWN, SHOWN)


def test_order_of_scenes_and_another_processor_change_no_verdict_and_no_recorded_digit():
    for seed, gains in enumerate(({}, {"drift": 5}, {"grade": -0.5}, {"stability": 0.5})):
        table, made = recorded(gains, seed=seed), sequences(seed=seed)
        numbers = table.select_dtypes("number").columns
        table[numbers] = table[numbers].round(2)  # what two processors agree on
        table["stability"] = table["stability"].round(1)
        moved = table.copy()
        moved[numbers] += np.random.default_rng(seed).uniform(-0.002, 0.002, moved[numbers].shape)
        moved["speed"] = table["speed"]
        moved = moved.sample(frac=1, random_state=seed)
        one, other = (ask(EVALUATION["questions"](t, made)) for t in (table, moved))
        assert {n: f.answer for n, f in one.items()} == {n: f.answer for n, f in other.items()}
        assert {n: f.as_metric() for n, f in one.items()} == {n: f.as_metric() for n, f in other.items()}
        assert judged(table, made) == judged(moved, made.sample(frac=1, random_state=seed))


@pytest.mark.parametrize(
    ("gains", "wrong"),
    [
        ({}, REFUTED),  # both claims hold
        ({"drift": 1.0, "flicker": 2.6, "grade": -8}, SHOWN),  # neither does
        (dict.fromkeys(("grade", "lighting", "drift", "flicker", "stability"), 0.0), None),  # on every bound
    ],
    ids=["hold", "do not", "neither"],
)
def test_claims_err_in_at_most_5_percent(gains, wrong):
    studies = 80
    found = [judged(recorded(gains, noise=6, seed=k), sequences(seed=k)) for k in range(studies)]
    for claim in zip(*found, strict=True):
        errors = [one != UNKNOWN if wrong is None else one == wrong for one in claim]
        assert np.mean(errors) <= 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5


def rounds(gain, count=8, noise=0.03, seed=0):
    rng = np.random.default_rng(seed)
    known = {"threads": 1.0, "again": 1.0, "segments": 1.35, "context": 1.3} | gain
    return {mode: value * np.exp(rng.normal(0, noise, count)) for mode, value in known.items()}


def speed(gain, equal=True, quiet=True, **how):
    found = ask(ACCELERATION["questions"](rounds(gain, **how)))
    return ACCELERATION["claim"]({name: one.answer for name, one in found.items()}, equal, quiet)


@pytest.mark.parametrize(
    ("gain", "answer"),
    [
        ({}, SHOWN),
        ({"context": 0.61}, REFUTED),  # as on two cores that it shares with threads
        ({"context": 0.84}, REFUTED),
        ({"segments": 0.9}, REFUTED),
        ({"segments": 1.05}, UNKNOWN),  # between slower and worth speaking of
        ({"again": 1.2}, UNKNOWN),  # a clock that finds a gain where there is none
        ({"again": 0.8}, UNKNOWN),
    ],
)
def test_acceleration_asks_both_techniques_and_its_control(gain, answer):
    assert speed(gain) == answer


def test_acceleration_is_open_where_this_machine_cannot_tell():
    assert speed({}, quiet=False) == speed({"context": 0.6}, quiet=False) == UNKNOWN
    assert speed({}, count=3) == speed({}, count=6) == UNKNOWN
    assert speed({}, noise=0.5) == UNKNOWN
    assert speed({}, equal=False) == speed({}, equal=False, quiet=False) == REFUTED


@pytest.mark.parametrize("true", [1.0, 1.05, 1.1])
def test_two_machines_never_give_opposite_verdicts_on_acceleration(true):
    gain = {"segments": true, "context": true}
    found = [speed(gain, noise=0.05, seed=seed) for seed in range(200)]
    shown, refuted = (np.mean([one == answer for one in found]) for answer in (SHOWN, REFUTED))
    assert shown <= (0.08 if true == 1.1 else 0) and refuted <= (0.08 if true == 1.0 else 0)


def held(scenes, drift, flicker=0.0):
    rng = np.random.default_rng(0)
    rows = [
        {"arm": arm, "scene": k, "drift": 6 + shift * drift + noise, "flicker": 1 + shift * flicker + noise}
        for arm, shift in (("base", 0), ("lora", 1), ("dissolve", 0))
        for k in range(scenes)
        for noise in [rng.normal(0, 0.2)]
    ]
    return [one.answer for one in ask(MOTION["questions"](pd.DataFrame(rows))).values()]


def test_sequences_hold_their_look_surely_or_not_or_are_too_few():
    assert held(4, 0.5) == [UNKNOWN, UNKNOWN]
    assert held(8, 0.5) == [SHOWN, SHOWN]
    assert held(8, 4.0) == [REFUTED, SHOWN]
    assert held(8, 0.5, 4.0) == [SHOWN, REFUTED]


@pytest.mark.parametrize("notebook", ["03_motion_stage", "04_inference_acceleration", "05_evaluation"])
def test_no_notebook_writes_a_verdict_by_hand(notebook):
    tree = ast.parse((NOTEBOOKS / "source" / f"{notebook}.py").read_text("utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    by_hand = re.compile("holds? here|not shown here|contradicts itself|implemented, not")
    assert not [text for text in texts if isinstance(text, str) and by_hand.search(text)]
