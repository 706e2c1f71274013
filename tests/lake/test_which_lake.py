"""Which lake a command works on: one default before and after the services, named where nothing is found, made by writing only."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_documents
from patience import PATIENCE_S

from headrace_lake.engine import stale_stages
from headrace_lake.lake import Lake
from headrace_lake.settings import SETTINGS_ENV, LakeSettings, S3Settings, Secret, Settings, load_settings, other_lake
from headrace_lake.slices import Slice
from headrace_lake.tables import TABLES
from headrace_operators.services.local import LocalServices

DAY = Slice("web", "2026-11-01")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of one's own, with nothing in it but the folder that marks it, which is the working folder."""
    (tmp_path / "governance" / "pipelines").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(SETTINGS_ENV, raising=False)
    return tmp_path


def lake_at(folder: Path, root: str) -> Lake:
    lake = Lake.open(Settings(lake=LakeSettings(root=root), base=folder))
    write_documents(lake, DAY, parts=1, rows=3)
    return lake


def headrace(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != SETTINGS_ENV}
    return subprocess.run(
        [sys.executable, "-m", "headrace_cli", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def where(settings: Settings) -> Path:
    return Path(Lake.open(settings).storage.root)


def test_the_services_lake_is_the_default_one_before_and_after_they_have_settings(folder: Path) -> None:
    before = load_settings()
    assert where(before) == folder / "var/poc/lake" and before.origin.startswith("defaults: no headrace.yaml or var/poc/headrace.yaml in ")
    services = LocalServices(Path("var/poc"), folder)
    after = load_settings()
    assert where(after) == where(before) and after.resolve(after.runs) == before.resolve(before.runs)
    assert after.origin == f"from {folder / 'var/poc/headrace.yaml'}" and after.ray.address == services.settings.ray.address
    (folder / "docs" / "deep").mkdir(parents=True)
    os.chdir(folder / "docs" / "deep")
    assert where(load_settings()) == where(before) and load_settings().base == folder
    (folder / "docs" / "headrace.yaml").write_text("lake: {root: mine}\n", encoding="utf-8")
    assert where(load_settings()) == folder / "docs" / "mine"  # the nearest file counts
    os.environ[SETTINGS_ENV] = str(folder / "var/poc/headrace.yaml")
    try:
        assert where(load_settings()) == where(before) and not load_settings().searched
    finally:
        del os.environ[SETTINGS_ENV]


def test_a_subfolder_of_a_checkout_without_settings_has_the_checkouts_lake(folder: Path) -> None:
    (folder / "docs").mkdir()
    os.chdir(folder / "docs")
    assert where(load_settings()) == folder / "var/poc/lake" and everything(folder / "docs") == []


def test_a_lake_at_the_old_default_is_found_and_beside_a_new_one_it_is_named(folder: Path) -> None:
    lake_at(folder, "var/lake")
    assert where(load_settings()) == folder / "var/lake"
    (folder / "headrace.yaml").write_text(
        "ray: {address: 'http://127.0.0.1:1'}\n", encoding="utf-8"
    )  # a file that says nothing of the lake
    assert where(load_settings()) == folder / "var/lake"
    lake_at(folder, "var/poc/lake")
    assert where(load_settings()) == folder / "var/poc/lake"
    shown = headrace("table", "ls", cwd=folder)
    assert shown.returncode == 0
    assert f"lake {folder}/var/poc/lake (from {folder}/headrace.yaml); another lies at {folder}/var/lake" in shown.stderr
    (folder / "headrace.yaml").write_text(f"lake: {{root: {folder}/var/lake}}\n", encoding="utf-8")  # as the line says
    assert where(load_settings()) == folder / "var/lake"


def test_reading_makes_no_lake_and_says_which_one_is_missing(folder: Path) -> None:
    before = everything(folder)
    for words in (["table", "ls"], ["slice", "status"], ["gate", "ls"]):
        done = headrace(*words, cwd=folder)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith(f"headrace: no lake at {folder}/var/poc/lake (defaults: no headrace.yaml or var/poc/headrace.yaml in")
        assert "'make poc' or 'headrace crawl SOURCE/INTERVAL' starts one" in done.stderr and done.stderr.count("\n") == 1
    lake = Lake.open(load_settings())
    assert not lake.exists and lake.receipts() == [] and lake.slices("documents") == [] and lake.artifacts() == [] and lake.tags() == {}
    assert all(lake.read(name).num_rows == 0 and lake.history(name) == [] for name in TABLES)
    assert stale_stages(lake, [DAY]) == [] and lake.tag("now") == {}
    assert everything(folder) == before


def test_reading_a_lake_makes_no_table_that_nobody_has_written(folder: Path) -> None:
    lake = lake_at(folder, "var/poc/lake")
    assert lake.exists
    before = everything(folder)
    again = Lake.open(load_settings())
    assert again.read("passports").num_rows == 0 and again.read("documents", where="characters > 0").num_rows == 3
    assert headrace("table", "ls", cwd=folder).returncode == 0
    assert [p for p in everything(folder) if not p.endswith(("-journal", "-wal", "-shm"))] == before


def test_an_empty_listing_and_a_name_that_is_not_known_say_which_lake_was_searched(folder: Path) -> None:
    lake_at(folder, "var/poc/lake")
    lake = f"lake: {folder}/var/poc/lake (defaults: "
    listed = headrace("gate", "ls", cwd=folder)
    assert listed.returncode == 0 and f"no rows; {lake}" in listed.stdout.replace("\n", " ")
    asked = headrace("eval", "show", "tiny", cwd=folder)
    assert asked.returncode == 2 and f"has no evaluation. run 'headrace eval run tiny' [{lake}" in asked.stderr.replace("Run", "run")


def test_a_catalog_without_tables_is_no_lake_and_is_left_as_it_is(folder: Path) -> None:
    """As for a database server: connecting is one thing, making tables in it another."""
    file = folder / "catalog.db"
    sqlite3.connect(file).close()
    file.write_bytes(b"")
    settings = Settings(lake=LakeSettings(root="lake", catalog=f"sqlite:///{file}"), base=folder)
    assert not Lake.open(settings).exists and Lake.open(settings).read("documents").num_rows == 0
    assert file.read_bytes() == b"" and not (folder / "lake").exists()
    write_documents(Lake.open(settings), DAY, parts=1, rows=3)
    assert Lake.open(settings).read("documents").num_rows == 3


def _write(folder: str, source: str) -> None:
    write_documents(Lake.open(Settings(lake=LakeSettings(root="lake"), base=Path(folder))), Slice(source, "2026-11-01"), parts=1, rows=3)


def test_first_writers_who_come_together_make_one_lake(folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write, args=(str(folder), source)) for source in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [w.exitcode for w in writers] == [0, 0, 0]
    assert [s.source for s in Lake.open(Settings(lake=LakeSettings(root="lake"), base=folder)).slices("documents")] == ["a", "b", "c"]


def test_the_lake_that_is_not_looked_into_is_found_at_either_default_place_and_nowhere_else(folder: Path) -> None:
    settings = load_settings()
    assert other_lake(settings) is None, "none is there"
    lake_at(folder, "var/poc/lake")
    assert other_lake(settings) is None, "the only one is the settings' own"
    lake_at(folder, "var/lake")
    assert other_lake(settings) == folder / "var/lake"
    assert other_lake(Settings(lake=LakeSettings(root="var/lake"), base=folder)) == folder / "var/poc/lake"
    s3 = S3Settings(endpoint="http://127.0.0.1:9", access_key=Secret(env="K"), secret_key=Secret(env="K"))
    bucket = LakeSettings(root="s3://bucket/lake", catalog="sqlite:///catalog.db", s3=s3)
    assert other_lake(Settings(lake=bucket, base=folder)) == folder / "var/lake"
