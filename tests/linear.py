"""Whether the work on an input grows with its length and no faster: two runs compared, no seconds fixed."""

from __future__ import annotations

import time
from collections.abc import Callable

SLACK_S = 0.05
"""What a run of a few milliseconds may lose to whatever else the processor does."""


def processor_seconds(act: Callable[[], object], runs: int = 3) -> float:
    """Processor seconds of the fastest of `runs` runs."""
    took = []
    for _ in range(runs):
        began = time.process_time()
        act()
        took.append(time.process_time() - began)
    return min(took)


def grows_linearly(act_on: Callable[[int], object], size: int, runs: int = 3) -> bool:
    """Whether four times the size costs less than twelve times the time: linear work costs four times, quadratic sixteen and more.

    `act_on` is handed a size. The slack decides only where quadratic work of this size would not be felt either.
    """
    small, large = (processor_seconds(lambda n=n: act_on(n), runs) for n in (size // 4, size))  # type: ignore[misc]
    return large < 12 * small + SLACK_S
