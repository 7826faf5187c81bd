"""Checks explain and never stop a notebook; under `strict` they raise."""

import numpy as np
import pytest
import torch

from cinelib.exercises import (
    ExerciseFailed,
    NotAttempted,
    check,
    expect,
    expect_close,
    expect_equal,
    expect_shape,
    strict,
)


def test_outcomes_are_printed_in_a_notebook(capsys):
    def stub():
        raise NotImplementedError

    def slip():
        return undefined_name  # noqa: F821

    with check("1.1"):
        expect_equal(2 + 2, 4)
    with check("1.2"):
        stub()
    with check("1.3"):
        never_defined()  # noqa: F821
    with check("1.4"):
        expect_equal(5, 4, because="one too many")
    with check("1.5"):
        slip()
    with check("1.6"):
        _ = [1][3]
    with check("1.7"):
        assert False, "an explanation"  # noqa: B011
    text = capsys.readouterr().out
    assert "[passed] exercise 1.1" in text
    assert "[not attempted yet] exercise 1.2" in text and "[not attempted yet] exercise 1.3" in text
    assert "found 5, expected 4" in text and "likely cause: one too many" in text
    assert "[not yet] exercise 1.5" in text and "NameError" in text and "undefined_name" in text
    assert "IndexError" in text and "an explanation" in text


def test_strict_raises_the_outcome():
    with strict():
        with pytest.raises(NotAttempted, match=r"2\.1"), check("2.1"):
            raise NotImplementedError
        with pytest.raises(ExerciseFailed), check("2.2"):
            expect_equal(1, 2)
        with pytest.raises(ZeroDivisionError), check("2.3"):
            _ = 1 / 0
    with check("2.4"):
        expect_equal(1, 2)


def test_an_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), check("1.1"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_arrays_compare_by_shape_and_value(make):
    expect_equal(make([1, 2]), make([1, 2]))
    expect_close(make([1.0, 2.0]), [1.0, 2.0 + 1e-7])
    expect_shape(make([[1, 2]]), (1, 2))
    for wrong in ([1, 3], [[1, 2]], [1, 2, 3]):
        with pytest.raises(ExerciseFailed):
            expect_equal(make(wrong), make([1, 2]))
        with pytest.raises(ExerciseFailed):
            expect_close(make(wrong), make([1, 2]))
    with pytest.raises(ExerciseFailed, match=r"found \(1, 2\), expected \(2, 1\)"):
        expect_shape(make([[1, 2]]), (2, 1))


def test_close_says_how_far_off_and_refuses_what_is_no_number():
    with pytest.raises(ExerciseFailed, match=r"largest difference 0\.5"):
        expect_close([1.0, 2.5], [1.0, 2.0])
    with pytest.raises(ExerciseFailed):
        expect_close(float("nan"), 1.0)
    with pytest.raises(ExerciseFailed):
        expect_close(None, 1.0)
    with pytest.raises(ExerciseFailed, match="the type"):
        expect_shape(None, (1,))
    expect_close(torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True), 1.0)


def test_expect_states_what_should_be_true():
    expect(True, "unused")
    with pytest.raises(ExerciseFailed, match=r"the loss falls\nlikely cause: sign"):
        expect(torch.tensor(False), "the loss falls", because="sign")


@pytest.mark.parametrize("test", ["equal", "close", "shape", "unpacked", "attribute"])
def test_an_answer_without_a_return_is_asked_whether_it_returns(test, capsys):
    def answer():
        _ = 4

    with check("1.1"):
        if test == "equal":
            expect_equal(answer(), 4, because="something else")
        elif test == "close":
            expect_close(answer(), 4.0)
        elif test == "shape":
            expect_shape(answer(), (1,))
        elif test == "unpacked":
            _, _ = answer()
        else:
            _ = answer().size
    text = capsys.readouterr().out
    assert "did you return the result?" in text and "something else" not in text


def test_outcomes_are_coloured_where_colours_are_shown_and_plain_elsewhere(monkeypatch, capsys):
    def outcomes():
        with check("1.1"):
            pass
        with check("1.2"):
            expect_equal(5, 4)
        return capsys.readouterr().out

    assert "\x1b" not in outcomes()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    green, red = outcomes().splitlines()[:2]
    assert green.startswith("\x1b[1;32m[passed]\x1b[0m") and red.startswith("\x1b[1;31m[not yet]\x1b[0m")
