"""How long something takes, in CPU time of this process: other processes disturb that least.

Imports nothing but the standard library, because Synapse's environment runs it too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable


def fastest(
    act: Callable[[], object], seconds: float, clock: Callable[[], float] = time.process_time
) -> float:
    """The seconds of the fastest of so many calls as fit into ``seconds``, at least three."""
    act()
    gc.collect()
    gc.freeze()
    times: list[float] = []
    until = clock() + seconds
    while len(times) < 3 or clock() < until:
        began = clock()
        act()
        times.append(clock() - began)
    gc.unfreeze()
    return min(times)


def rate(act: Callable[[], object], count: int, seconds: float) -> float:
    """How many a second, if one call does ``count``."""
    return count / fastest(act, seconds)


def each(act: Callable[..., object], *arguments: Iterable[object]) -> Callable[[], None]:
    """What does ``act`` with each of these, as map() would, and forgets the results."""
    lists = [list(one) for one in arguments]

    def acts() -> None:
        for result in map(act, *lists):
            del result

    return acts
