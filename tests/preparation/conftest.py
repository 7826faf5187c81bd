"""One decoding process for all tests of a file."""

import pytest

from cinelib.preparation.isolation import Child


@pytest.fixture(scope="module")
def child():
    with Child() as process:
        yield process
