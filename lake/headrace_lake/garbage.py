"""How often Python looks for garbage in cycles, in the processes that are ours."""

from __future__ import annotations

import gc

_THRESHOLDS = (20_000, 20, 50)


def collect_rarely() -> None:
    """Raise the thresholds of the cycle collector; for the start of a process, never for an import.

    Python's own (700, 10, 10) walk the whole heap whenever it has grown by a quarter, and the libraries of a text line let it grow from
    5,000 objects to 600,000, which live as long as the process. In the first run of 24 pages (`benchmarks/text/bench_line.py`, Python
    3.11) the collector takes 2.2 s of 17 s of the processor with those, 0.5 s with these, and the peak of memory is the same 1.3 GB.
    """
    gc.set_threshold(*_THRESHOLDS)


def collect_no_more() -> None:
    """Spare the end of a process its last searches for garbage, in a heap that goes with the process; for its last line of code.

    They walk everything that the libraries hold: a sixth of the processor time of a command that only reads the lake.
    """
    gc.freeze()
