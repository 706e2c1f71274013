"""What every test may use: the checkout, and settings whose lake lies in the test's own folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from headrace_lake.garbage import collect_rarely
from headrace_lake.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.append(str(CHECKOUT / "tests"))  # for `servers`

# Seeded, so that a failure comes again; no deadline, since CI machines are shared.
hypothesis_settings.register_profile("headrace", derandomize=True, deadline=None, max_examples=60)
hypothesis_settings.load_profile("headrace")
collect_rarely()  # as commands do: what the libraries of a whole suite hold is walked at each search


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the repository."""
    return CHECKOUT


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with the checkout's configuration and an empty lake of the test's own."""
    return Settings.model_validate(
        {"base": str(CHECKOUT), "lake": {"root": str(tmp_path / "lake")}, "runs": str(tmp_path / "runs")},
    )
