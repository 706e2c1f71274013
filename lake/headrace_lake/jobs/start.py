"""Start of a remote command: `python -m headrace_lake.jobs.start -- WORDS` waits until the job is confirmed, then becomes WORDS.

An Airflow task may be killed while it submits its job, and the job then arrives after whoever would stop it. So a job begins by asking the
lake's catalog (`headrace_lake.jobs.ledger`): its task confirms it from the triggerer, where a task that is marked failed, marked succeeded,
cleared or deleted no longer is. A job that was stopped before it began, or that nobody confirms, ends here with exit code 75 and has done
nothing.

It replaces itself by the command (exec), so signals and the exit code are the command's own.
"""

from __future__ import annotations

import os
import sys

from headrace_lake.errors import HeadraceError, ServiceError
from headrace_lake.foreign_text import one_line
from headrace_lake.jobs.ledger import JOB_ENV, JobLedger
from headrace_lake.settings import load_settings

CONFIRM_WITHIN_S = 20.0
"""A triggerer takes a task up within 1-3 s. One that is being restarted needs longer: the job then ends and is asked for again, with more
time in `CONFIRM_ENV`."""
CONFIRM_ENV = "HEADRACE_CONFIRM_WITHIN_S"
NOT_STARTED = 75
"""EX_TEMPFAIL of sysexits.h."""


def main(words: list[str]) -> None:
    """Wait for the confirmation, then become the command."""
    job = os.environ[JOB_ENV]
    ledger = JobLedger.of(load_settings())
    entry = ledger.await_confirmation(job, float(os.environ.get(CONFIRM_ENV) or CONFIRM_WITHIN_S))
    if entry is None:
        raise ServiceError(
            f"job {job} is not in the catalog {ledger}",
            "Airflow and the machines that jobs run on must read the same settings file (HEADRACE_SETTINGS) and reach the same catalog",
        )
    if entry.state != "confirmed":
        why = "nobody waits for it any more" if entry.state == "expired" else entry.reason
        print(f"headrace: {job} was {entry.state} before it began: {why}. Nothing was done", file=sys.stderr)
        sys.exit(NOT_STARTED)
    os.execvp(words[0], words)


if __name__ == "__main__":
    try:
        main(sys.argv[2:] if sys.argv[1:2] == ["--"] else sys.argv[1:])
    except HeadraceError as exc:
        print(f"headrace: {one_line(str(exc))}", file=sys.stderr)
        sys.exit(exc.exit_code)
