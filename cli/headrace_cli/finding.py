"""What `headrace doctor` reports: one finding, and how findings are gathered side by side within a time limit."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "optional", "missing"]
ANSWER_SECONDS = 5.0
"""Within this a service must have answered all that a probe asks."""


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        state: `ok`, `optional` (absent, but only the named use suffers) or `missing` (absent or wrong).
        found: what is there.
        way_out: how to get it; empty when `ok`.
        setting: key of the settings file that it hangs on, such as `lake.s3.secret_key`; empty where none does.
    """

    name: str
    state: State
    found: str
    way_out: str = ""
    setting: str = ""


@dataclass(frozen=True)
class Probe:
    """Something to ask, and what it is called if it does not answer.

    Attributes:
        look: makes the findings; may take long, may hang.
        imports: modules that it needs, imported before the clock starts: on a busy machine they take longer than the answer.
        seconds: after which it is given up.
        late: what the finding is then; a server that does not answer is wrong, a busy machine is not.
    """

    name: str
    setting: str
    look: Callable[[], Iterable[Check]]
    imports: tuple[str, ...] = ()
    seconds: float = ANSWER_SECONDS
    late: State = "missing"


def gather(probes: Sequence[Probe]) -> list[Check]:
    """The findings of all probes, asked side by side, in the order of the probes."""
    for module in dict.fromkeys(name for probe in probes for name in probe.imports):
        with suppress(ImportError):  # the probe says so
            importlib.import_module(module)
    began = time.monotonic()
    answers: list[list[Check]] = [[] for _ in probes]

    def ask(number: int, probe: Probe) -> None:
        try:
            answers[number].extend(probe.look())
        except Exception as exc:  # a probe that fails is a finding, not the end of the others
            words = " ".join(str(exc).split())[:300] or type(exc).__name__
            answers[number].append(Check(probe.name, "missing", f"{type(exc).__name__}: {words}", "see the message", probe.setting))

    # Daemons: one that hangs in a library without a time limit must not keep the command from ending.
    threads = [threading.Thread(target=ask, args=(n, p), name=f"probe-{p.name}", daemon=True) for n, p in enumerate(probes)]
    for thread in threads:
        thread.start()
    found: list[Check] = []
    for thread, probe, answer in zip(threads, probes, answers, strict=True):
        thread.join(max(0.0, began + probe.seconds - time.monotonic()))
        if thread.is_alive():
            said = f"no answer within {probe.seconds:g} s"
            way_out = (
                "look again when the machine is less busy"
                if probe.late == "optional"
                else f"check that it runs, or correct {probe.setting}"
            )
            found.append(Check(probe.name, probe.late, said, way_out, probe.setting))
        else:
            found += answer
    return found
