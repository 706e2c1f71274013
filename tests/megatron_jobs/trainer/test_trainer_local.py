"""Training processes of one host end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S

from headrace_jobs.trainer.local import run_processes
from headrace_lake.errors import ServiceError

RANK = """
import os, sys, time
from pathlib import Path
from headrace_jobs.trainer.local import end_with_parent
end_with_parent()
Path(sys.argv[1], os.environ["RANK"]).write_text(str(os.getpid()))
time.sleep(900)
"""
PARENT = (
    "import sys\nfrom headrace_jobs.trainer.local import run_processes\nrun_processes([sys.executable, '-c', *sys.argv[1:]], processes=2)"
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_rank_outlives_its_parent(tmp_path: Path, number: signal.Signals, code: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, RANK, str(tmp_path)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + PATIENCE_S
    while not all((tmp_path / rank).exists() and (tmp_path / rank).read_text() for rank in "01"):
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    ranks = [psutil.Process(int((tmp_path / rank).read_text())) for rank in "01"]
    parent.send_signal(number)
    assert parent.wait(PATIENCE_S) == code
    _, alive = psutil.wait_procs(ranks, timeout=PATIENCE_S)
    assert not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_rank_that_fails_takes_the_others_along_and_is_named() -> None:
    started = time.monotonic()
    code = "import os, sys, time\nif os.environ['RANK'] == '1': sys.exit(7)\ntime.sleep(900)"
    with pytest.raises(ServiceError, match="training process 1 of 2 ended with code 7"):
        run_processes([sys.executable, "-c", code], processes=2)
    assert time.monotonic() - started < PATIENCE_S
