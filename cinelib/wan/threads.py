"""Small clips side by side: a core each, where one clip cannot keep several cores busy."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_SMALL = 128 * 256  # pixels of a frame; the convolutions of larger ones keep all cores busy, and fill memory


def is_small(device: torch.device, pixels: int) -> bool:
    """Whether frames of so many pixels are too small to keep a CPU's cores busy with one convolution."""
    return device.type == "cpu" and pixels <= _SMALL


def each(
    work: Callable[[Item], Result], items: Sequence[Item], device: torch.device, pixels: int
) -> list[Result]:
    """`work` of each item, in their order; small ones on a CPU as many at a time as torch has threads.

    Cores that share one small convolution mostly wait for each other; with a clip of its own each, they
    do not. So each thread gets one core, and torch's number of threads is put back at the end. An item that
    is alone gets one core as well: on several it would come out differently, by rounding.

    Args:
        pixels: of one frame that is worked on; large ones are done one after the other.
    """
    count = torch.get_num_threads()
    if not is_small(device, pixels) or count == 1:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(work, items))
    finally:  # an error or an interrupt does not wait for the items that are left
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(count)  # what later threads start with
