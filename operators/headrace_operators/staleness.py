"""What is out of date in the lake, worked out beside the pages: in a process of its own, since it imports every stage.

    python -m headrace_operators.staleness      prints the list as one JSON line (the settings are those of the environment)

The pages ask `Staleness.known()`, which answers at once: the list of the lake's version, or that it is being worked out. Costs some seconds
for each version of the lake that somebody looks at, and about 300 MB while it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_lake.errors import HeadraceError, ServiceError
from headrace_lake.foreign_text import one_line
from headrace_lake.slices import Slice

if TYPE_CHECKING:
    from headrace_lake.engine.pipeline import Pipeline
    from headrace_lake.lake import Lake

WITHIN_S = 300.0
AGAIN_S = 120.0
"""A list older than this is worked out again: code and parameters change without a commit to the lake."""


@dataclass(frozen=True)
class Late:
    """A stage of a slice that is out of date, and why."""

    source: str
    interval: str
    stage: str
    causes: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """What the pages can say: the list, or why there is none yet."""

    late: tuple[Late, ...] = ()
    error: str = ""
    working: bool = False
    at: float = 0.0


class Staleness:
    """The list of each lake's newest version, worked out by one child at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._working: set[str] = set()

    def known(self, version: str, *, again: bool = False) -> Known:
        """The list of a version; starts to work it out where it is not known, or old.

        Args:
            version: names lake and version.
            again: work it out anew even if it is young.
        """
        with self._lock:
            found = self._known.get(version)
            old = found is None or again or time.time() - found.at > AGAIN_S
            if old and not self._working:
                self._working.add(version)
                threading.Thread(target=self._work, args=(version,), daemon=True, name="headrace-staleness").start()
            if found is None:
                return Known(working=True)
            return Known(found.late, found.error, bool(self._working), found.at)

    def _work(self, version: str) -> None:
        try:
            found = Known(_ask(), at=time.time())
        except Exception as exc:  # whatever went wrong belongs on the page; a thread has nobody to raise to
            found = Known(error=str(exc)[:600], at=time.time())
        with self._lock:
            self._working.discard(version)
            self._known = {version: found}


def _ask() -> tuple[Late, ...]:
    words = [sys.executable, "-m", "headrace_operators.staleness"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    lines = done.stdout.strip().split("\n")
    if done.returncode:
        said = [line for line in done.stderr.strip().split("\n") if line.strip()]
        raise ServiceError(
            said[-1] if said else f"exit code {done.returncode}", "run 'headrace slice preview text SOURCE/INTERVAL' to see it"
        )
    return tuple(Late(r["source"], r["interval"], r["stage"], tuple(r["causes"])) for r in json.loads(lines[-1]))


# -- in the child ---------------------------------------------------------------------------------------------------------


def late_stages(lake: Lake, slices: Sequence[Slice], pipeline: Pipeline) -> Iterator[Late]:
    """What is out of date in some slices, as `headrace slice stale` says."""
    from headrace_lake.engine.stale import stale_stages

    for stale in stale_stages(lake, slices, pipeline):
        yield Late(stale.slice_.source, stale.slice_.interval, stale.stage, stale.causes)


def main() -> int:
    """Print what is out of date in the slices that a pipeline has begun."""
    from headrace_lake.engine.pipeline import load_pipeline
    from headrace_lake.lake import Lake
    from headrace_operators.operator_env import current_settings

    try:
        settings, _ = current_settings()
        lake = Lake.open(settings)
        late: list[Late] = []
        for file in sorted(settings.resolve(settings.pipelines).glob("*.yaml")):
            pipeline = load_pipeline(settings, file)
            begun = sorted({r.slice_ for r in lake.receipts() if any(r.stage == s.name for s in pipeline.stages)})
            late += late_stages(lake, begun, pipeline)
    except HeadraceError as exc:
        print(one_line(str(exc)), file=sys.stderr)
        return exc.exit_code
    print(json.dumps([{"source": x.source, "interval": x.interval, "stage": x.stage, "causes": x.causes} for x in late]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
