"""A copy of the checkout whose files a test edits, and commands that run from it in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("cli", "governance", "lake", "megatron_jobs", "operators", "tokenizers")


@dataclass
class Copy:
    """The copy.

    Attributes:
        settings: file that its commands are given.
    """

    folder: Path
    settings: Path

    @classmethod
    def of(cls, checkout: Path, folder: Path, settings: Path) -> Copy:
        """Copy the packages with their compiled kernels, whose stamps are the sources' times."""
        for package in PACKAGES:
            shutil.copytree(checkout / package, folder / package)
        return cls(folder, settings)

    def edit(self, file: str, before: str, after: str) -> None:
        """Replace what stands once in a file."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, (file, before, text.count(before))
        path.write_text(text.replace(before, after), encoding="utf-8")

    def headrace(self, *words: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join(str(self.folder / p) for p in PACKAGES)
        return subprocess.run(
            [sys.executable, "-m", "headrace_cli", "--json-result", *words, "--settings", str(self.settings)],
            cwd=self.folder, env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    def answer(self, *words: str) -> dict[str, Any]:
        """The result of a command that succeeds."""
        done = self.headrace(*words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        [line] = [x for x in done.stdout.splitlines() if x.startswith("HEADRACE_RESULT ")]
        found: dict[str, Any] = json.loads(line.removeprefix("HEADRACE_RESULT "))
        return found
