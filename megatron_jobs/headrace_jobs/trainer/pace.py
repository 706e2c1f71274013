"""How long a run will take at the speed of its last steps, and what makes it slow."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from headrace_jobs.trainer.segment import Segment

RECENT_STEPS = 20
"""Steps whose speed counts; the first step of a launch (kernels are made, pages touched) does not, once there is another."""
EARLY_STEPS = 4
EARLY_SECONDS = 10.0
"""The first estimate is given after so many steps or so many seconds, whichever comes first: a slow run must say so early."""
BUSY = 0.75
"""Share of its threads' time that a process got, below which other programs are named as a cause."""


@dataclass
class Pace:
    """Feeds on steps, tells the time that is left.

    Attributes:
        total_tokens: of the run.
        last_step: step after which the run ends although tokens are left.
        steps: seen so far, in this launch.
    """

    total_tokens: int
    last_step: int | None = None
    _steps: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))
    steps: int = 0

    def stepped(self, tokens: int, seconds: float) -> None:
        """A step of so many tokens took so long."""
        self.steps += 1
        if self.steps == 2:
            self._steps.clear()
        self._steps.append((tokens, seconds))

    @property
    def tokens_per_second(self) -> float:
        """Of the recent steps."""
        seconds = sum(s for _, s in self._steps)
        return sum(t for t, _ in self._steps) / seconds if seconds else 0.0

    def seconds_left(self, *, step: int, total_tokens: int) -> float:
        """Time for the tokens that are left after `step`, in which `total_tokens` were reached."""
        left = max(0.0, self.total_tokens - total_tokens)
        if self.last_step is not None and self._steps:
            left = min(left, max(0, self.last_step - step) * sum(t for t, _ in self._steps) / len(self._steps))
        return left / self.tokens_per_second if self.tokens_per_second else 0.0


class Share:
    """Share of its threads' time that this process got since the watch began: below 1 where other programs take the cores."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def now(self) -> float:
        """0 to about 1; work that runs in one thread only lowers it too."""
        wall = time.perf_counter() - self._wall
        return (time.process_time() - self._cpu) / (wall * self.threads) if wall else 1.0


def duration(seconds: float) -> str:
    """A length of time as people say it: `40 s`, `3 min`, `2 h 10 min`, `3 days 4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h" + (f" {rest} min" if rest else "")
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} days" + (f" {hours} h" if hours else "")


def causes(segment: Segment, share: float) -> list[str]:
    """What makes this launch slow, as far as it is known; empty where nothing does."""
    found = [choice.warning for choice in (segment.layers, segment.softmax) if choice.warning]
    if segment.capability != "CUDA":
        if segment.threads == 1:
            found.append("it has one core")
        if share < BUSY:
            found.append(f"it gets {share:.0%} of the time of its {segment.threads} thread(s): other programs run here")
    return found


def estimate(pace: Pace, segment: Segment, share: float, *, step: int, total_tokens: int) -> str:
    """The line that is given early: how long, at which speed, and why it is slow if it is."""
    how = f"{pace.tokens_per_second:,.0f} tokens/s on {segment.threads} thread(s), softmax in {segment.softmax.chosen}"
    if segment.capability == "CUDA":
        how = f"{pace.tokens_per_second:,.0f} tokens/s"
    why = "; ".join(causes(segment, share))
    left = duration(pace.seconds_left(step=step, total_tokens=total_tokens))
    return f"about {left} to go at this speed ({how})" + (f". Slow because {why}" if why else "")
