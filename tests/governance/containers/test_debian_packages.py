"""Debian packages in the cache: fetched a few at a time, once, and again if damaged. dpkg is the real one; apt-get is a stand-in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace_governance.containers.debian import AT_ONCE, fetch_package, fetch_packages, unpack
from headrace_lake.errors import ServiceError

NAMES = [f"sample-{n}" for n in range(AT_ONCE + 2)]
APT = """#!/bin/sh
shift 2
echo "$@" >> "$SERVED/calls"
rc=0
for name in "$@"; do
  deb="$SERVED/${name}_1.0_all.deb"
  if [ -e "$deb" ]; then cp "$deb" .; else echo "E: Unable to locate package $name" >&2; rc=100; fi
done
exit $rc
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """An apt-get that serves `NAMES`; answers with the packages of each call so far."""
    served, programs = tmp_path / "served", tmp_path / "bin"
    served.mkdir()
    programs.mkdir()
    (programs / "apt-get").write_text(APT)
    (programs / "apt-get").chmod(0o755)
    for name in NAMES:
        control = tmp_path / name / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: a test <a@example.org>\nDescription: sample\n")
        (tmp_path / name / "page.html").write_text(f"<p>{name}</p>")
        subprocess.run(["dpkg-deb", "--build", tmp_path / name, served / f"{name}_1.0_all.deb"], check=True, capture_output=True)
    monkeypatch.setenv("SERVED", str(served))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    log = served / "calls"
    return lambda: log.read_text().splitlines() if log.exists() else []


def test_packages_are_fetched_a_few_at_a_time_and_never_again(tmp_path: Path, calls: Callable[[], list[str]]) -> None:
    cache = tmp_path / "cache"
    said: list[str] = []
    debs = fetch_packages(NAMES, cache, said.append)
    assert list(debs) == NAMES and all(deb.parent == cache and deb.name.startswith(name) for name, deb in debs.items())
    assert calls() == [" ".join(NAMES[:AT_ONCE]), " ".join(NAMES[AT_ONCE:])]
    assert said == [f"fetching {', '.join(NAMES[:AT_ONCE])}", f"fetching {', '.join(NAMES[AT_ONCE:])}"]
    assert (unpack(debs["sample-3"], tmp_path / "open") / "page.html").read_text() == "<p>sample-3</p>"
    assert fetch_packages(NAMES, cache, said.append) == debs
    assert len(calls()) == 2


def test_a_damaged_package_is_fetched_again_and_only_it(tmp_path: Path, calls: Callable[[], list[str]]) -> None:
    debs = fetch_packages(NAMES[:3], tmp_path / "cache", lambda _: None)
    good = debs["sample-1"].read_bytes()
    debs["sample-1"].write_bytes(good[:-1] + b"?")
    said: list[str] = []
    assert fetch_packages(NAMES[:3], tmp_path / "cache", said.append) == debs
    assert debs["sample-1"].read_bytes() == good
    assert said == ["sample-1_1.0_all.deb is damaged, fetching it again", "fetching sample-1"]
    assert calls()[1:] == ["sample-1"]


def test_a_package_that_apt_does_not_know_is_named_and_the_others_stay(tmp_path: Path, calls: Callable[[], list[str]]) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(ServiceError, match="package sample-99 could not be fetched: E: Unable to locate package sample-99"):
        fetch_packages(["sample-0", "sample-99"], cache, lambda _: None)
    asked = len(calls())
    assert fetch_package("sample-0", cache, lambda _: None).exists()
    assert len(calls()) == asked, "what was fetched before the error is not fetched again"
    assert not list((cache / ".incoming").iterdir())
