"""Checks below exercises: they explain a wrong answer and never stop a notebook.

`with check("2.1"):` runs assertions on the learner's code. In a notebook the outcome is printed:
passed, not attempted yet, or what was found, what was expected and why. Under `strict()` (the tests)
the same outcomes are raised.
"""

import sys
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_GREEN, _RED, _BLUE, _PLAIN = ("\x1b[1;32m", "\x1b[1;31m", "\x1b[1;34m", "\x1b[0m")
_NOTHING = "your function gave None: did you return the result?"
_STRICT: ContextVar[bool] = ContextVar("strict", default=False)


class ExerciseFailed(AssertionError):
    """An answer is wrong; the message says what was found, what was expected and the likely cause."""


class NotAttempted(Exception):
    """The exercise is still a stub, or its cell was not run."""


@contextmanager
def strict() -> Iterator[None]:
    """Within this block a check raises its outcome instead of printing it."""
    token = _STRICT.set(True)
    try:
        yield
    finally:
        _STRICT.reset(token)


class check:
    """Context manager around the assertions of exercise `exercise_id`.

    Under `strict()` raises NotAttempted for a stub, and any other error as it is.
    """

    def __init__(self, exercise_id: str) -> None:
        self.exercise_id = exercise_id

    def __enter__(self) -> "check":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if error is not None and not isinstance(error, Exception):
            return False  # an interrupt stops the notebook
        untouched = isinstance(error, NotImplementedError) or (
            # A NameError in the check itself: the exercise's cell was never run. One raised deeper
            # is a slip in the learner's code and is explained as such.
            isinstance(error, NameError) and trace.tb_next is None
        )
        if _STRICT.get():
            if untouched:
                raise NotAttempted(f"exercise {self.exercise_id} is not attempted") from error
            return False
        if error is None:
            _say(_GREEN, "[passed]", f"exercise {self.exercise_id}")
        elif untouched:
            rest = f"exercise {self.exercise_id}: complete it above, run it, then this cell"
            _say(_BLUE, "[not attempted yet]", rest)
        else:
            rest = f"exercise {self.exercise_id}\n{textwrap.indent(_explain(error), '  ')}"
            _say(_RED, "[not yet]", rest)
        return True


def _say(color: str, mark: str, rest: str) -> None:
    """Print an outcome, its mark in colour where a notebook or a terminal shows colours."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    print(f"{color}{mark}{_PLAIN} {rest}" if shell or sys.stdout.isatty() else f"{mark} {rest}")


def _explain(error: Exception) -> str:
    if isinstance(error, AssertionError):
        return str(error) or "an assertion of the check does not hold"
    if isinstance(error, TypeError | AttributeError) and "NoneType" in str(error):
        return f"{_NOTHING} ({error})"
    where = traceback.extract_tb(error.__traceback__)[-1]
    line = f", at `{where.line}`" if where.line else f", at line {where.lineno} of {where.name}"
    return f"your code raised {type(error).__name__}: {error}{line}"


def _fail(found: Any, expected: Any, because: str, what: str) -> None:
    because = _NOTHING if found is None else because
    likely = f"\nlikely cause: {because}" if because else ""
    raise ExerciseFailed(f"{what}: found {_short(found)}, expected {_short(expected)}{likely}")


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return textwrap.shorten(text, 300, placeholder=" ...")


def expect(condition: Any, what: str, because: str = "") -> None:
    """A statement about the answer that must be true."""
    if not bool(condition):
        raise ExerciseFailed(what + (f"\nlikely cause: {because}" if because else ""))


def expect_equal(found: Any, expected: Any, because: str = "", what: str = "the result") -> None:
    """Exact equality, of arrays and tensors too (same shape, same values)."""
    if hasattr(found, "shape") or hasattr(expected, "shape"):
        import numpy as np

        left, right = _array(found), _array(expected)
        same = left.shape == right.shape and bool(np.array_equal(left, right))
    else:
        same = bool(found == expected)
    if not same:
        _fail(found, expected, because, what)


def expect_close(
    found: Any,
    expected: Any,
    because: str = "",
    what: str = "the result",
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> None:
    """Numbers, arrays or tensors that agree within |found - expected| <= atol + rtol * |expected|."""
    import numpy as np

    if found is None:
        _fail(found, expected, because, what)
    left, right = _array(found), _array(expected)
    if left.dtype == object or right.dtype == object:
        _fail(found, expected, because, what)
    if left.shape != right.shape:
        _fail(left.shape, right.shape, because, f"the shape of {what}")
    if not np.allclose(left, right, rtol=rtol, atol=atol):
        if left.size == 1:
            _fail(float(left.reshape(-1)[0]), float(right.reshape(-1)[0]), because, what)
        worst = float(np.max(np.abs(left - right)))
        _fail(found, expected, because, f"{what} (largest difference {worst:.3g})")


def expect_shape(found: Any, expected: tuple[int, ...], because: str = "", what: str = "the result") -> None:
    """The shape of an array or tensor."""
    if not hasattr(found, "shape"):
        _fail(
            None if found is None else type(found).__name__,
            "an array or tensor",
            because,
            f"the type of {what}",
        )
    if tuple(found.shape) != tuple(expected):
        _fail(tuple(found.shape), tuple(expected), because, f"the shape of {what}")


def _array(value: Any) -> Any:
    import numpy as np

    if hasattr(value, "detach"):  # a torch tensor, perhaps bf16 or on an accelerator
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        return value.numpy()
    try:
        return np.asarray(value, dtype=None if hasattr(value, "dtype") else float)
    except (TypeError, ValueError):
        return np.asarray(value, dtype=object)
