"""`headrace poc` over services that are up already and samples that need no building.

TRIAL_AIRFLOW='{}' python poc_trial.py FOLDER ROOT SAMPLES [--fresh]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from headrace_operators.poc.note import NoteFile


def main(folder: Path, root: Path, samples: Path, *, fresh: bool) -> int:
    """As `headrace_operators.poc.cli` does: what is known of the run comes before anything heavy is imported."""
    print(f"headrace poc: {known.line}" if (known := NoteFile(folder).read()) else "headrace poc", flush=True)
    from headrace_operators.poc.driver import Poc
    from headrace_operators.poc.plan import PocPlan
    from headrace_operators.services import LocalServices

    class Trial(Poc):
        """The real command, but for the pages of Debian packages."""

        def build_samples(self, plan: PocPlan) -> None:
            self.say("samples: there already")

    airflow = json.loads(os.environ["TRIAL_AIRFLOW"])
    return Trial(folder, LocalServices(folder, root, samples=samples, dags=folder.parent / "dags", airflow=airflow), fresh=fresh).run()


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4]), fresh="--fresh" in sys.argv))
