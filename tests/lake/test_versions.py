"""Versions of a lake: tags, time travel, history, vacuum, lineage, and digests of code."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import write_documents
from stages_for_tests import Admit, Length, LengthParams

from headrace_lake import lineage
from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import code_closure, code_digest
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact, Receipt
from headrace_lake.slices import Slice
from headrace_lake.tables import table_spec
from headrace_lake.vacuum import vacuum

DAY, NEXT = Slice("web", "2026-11-01"), Slice("web", "2026-11-02")


def pipeline(minimum: int = 5) -> Pipeline:
    return Pipeline.of("t", Length(LengthParams(minimum=minimum)), Admit())


def age(lake: Lake, seconds: float = 2 * 86_400.0) -> None:
    """Make every file of the lake look old."""
    past = time.time() - seconds
    for file in Path(lake.storage.root).rglob("*"):
        if file.is_file():
            os.utime(file, (past, past))


def artifact(kind: str, name: str, fingerprint: str, *, path: str = "", parents: tuple[str, ...] = ()) -> Artifact:
    return Artifact(kind=kind, name=name, fingerprint=fingerprint, created_at=datetime.now(UTC), path=path, parents=parents, payload={})


def test_what_another_process_commits_is_seen_and_what_was_read_stays(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    read = lake.table("documents")
    before, place = read.metadata.model_dump_json(), read.metadata_location
    other = Lake.open(lake.settings)
    write_documents(other, NEXT)
    assert lake.slices("documents") == [DAY, NEXT] == other.slices("documents")
    assert (read.metadata.model_dump_json(), read.metadata_location) == (before, place)
    assert lake.table("documents").metadata == other.table("documents").metadata == Lake.open(lake.settings).table("documents").metadata


def test_a_table_is_made_with_its_name_mapping(lake: Lake) -> None:
    for name in ("documents", "exclusions", "receipts"):
        table = lake.catalog.ensure_table(table_spec(name), lake.storage.uri(f"tables/{name}"))
        assert table.name_mapping() == table.schema().name_mapping
        assert len(table.metadata.metadata_log) == 0


def test_a_tag_and_a_snapshot_are_read_as_they_were(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    lake.tag("empty")
    run_pipeline(lake, pipeline(), DAY)
    before = lake.read("admitted")
    first = lake.history("admitted")[-1]["snapshot"]
    assert set(lake.tag("one")) >= {"admitted", "documents", "verdict_c4", "receipts"}
    run_pipeline(lake, pipeline(minimum=7), DAY)
    now = lake.read("admitted")
    assert now.num_rows < before.num_rows
    assert lake.read("admitted", tag="one").equals(before) and lake.read("admitted", snapshot=first).equals(before)
    assert lake.read("admitted", tag="empty").num_rows == 0
    assert lake.tags()["one"]["admitted"] == first
    lake.tag("one", ["admitted"])
    assert lake.read("admitted", tag="one").equals(now), "a tag of that name moves"
    with pytest.raises(InputError, match="table admitted has no tag 'two'. tags: empty, one"):
        lake.read("admitted", tag="two")


def test_the_history_names_the_run_behind_every_snapshot(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    run_pipeline(lake, pipeline(), DAY)
    run_pipeline(lake, pipeline(minimum=7), DAY)
    runs = [r.run_id for r in lake.receipts(DAY, "admit")]
    history = lake.history("admitted")
    assert [h["run"] for h in history] == runs and len(runs) == 2
    assert {h["slice"] for h in history} == {str(DAY)} and history[-1]["rows"] == lake.read("admitted").num_rows


def test_vacuum_takes_what_nothing_refers_to_and_nothing_else(lake: Lake, with_documents: Callable[..., Receipt], tmp_path: Path) -> None:
    with_documents(DAY)
    run_pipeline(lake, pipeline(), DAY)
    lake.tag("kept")
    tagged = lake.read("admitted")
    run_pipeline(lake, pipeline(minimum=6), DAY)
    middle = [f.path for f in lake.slice_files("admitted", DAY)]
    run_pipeline(lake, pipeline(minimum=7), DAY)
    (tmp_path / "object").write_bytes(b"of a run that was killed")
    orphan = lake.put_object(tmp_path / "object", kind="tokens", suffix=".bin")
    now = lake.read("admitted")

    young = vacuum(lake, keep_snapshots=1)
    assert young.files == 0 and lake.storage.exists(orphan), "a file of a running stage is young"
    age(lake)
    planned = vacuum(lake, keep_snapshots=1, dry_run=True)
    assert planned.files > len(middle) and planned.bytes > 0 and lake.storage.exists(orphan)
    done = vacuum(lake, keep_snapshots=1)
    assert done.files >= planned.files and not lake.storage.exists(orphan)
    assert not any(lake.storage.exists(path) for path in middle), "the verdict between the tag and now"
    assert lake.read("admitted").equals(now) and lake.read("admitted", tag="kept").equals(tagged)
    assert lake.read("documents", tag="kept").num_rows == lake.read("documents").num_rows == 120
    age(lake)
    assert vacuum(lake, keep_snapshots=1).files == 0, "a second one finds nothing"
    assert [s.action for s in run_pipeline(lake, pipeline(minimum=7), DAY).stages] == ["adopted", "adopted"]
    again = run_pipeline(lake, pipeline(minimum=6), DAY).stages
    assert again[0].action == "computed", "its files are gone, so it is made again"


def test_what_an_artifact_holds_is_never_vacuumed(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    for path in ("objects/checkpoints/a/weights", "objects/checkpoints/b/weights"):
        lake.storage.put_bytes(path, b"tensors")
    made = artifact("checkpoint", "tiny-1", "f" * 32, path="objects/checkpoints/a")
    lake.record_artifact(made)
    age(lake)
    vacuum(lake)
    assert lake.storage.exists("objects/checkpoints/a/weights") and not lake.storage.exists("objects/checkpoints/b/weights")


def test_what_a_payload_or_a_record_names_is_never_vacuumed(lake: Lake, with_documents: Callable[..., Receipt], tmp_path: Path) -> None:
    def put(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return lake.put_object(tmp_path / name, kind="mix", suffix=Path(name).suffix)

    with_documents(DAY)
    page, rows, orphan = put("page.html", "a page"), put("rows.parquet", "rows"), put("orphan.parquet", "of a compilation that was killed")
    record = put("mix.json", json.dumps({"objects": {"documents": rows}, "phases": [{"tokens": 1}]}))
    lake.record_artifact(artifact("mix", "m", "a" * 32, path=record))
    lake.record_artifact(artifact("evaluation", "e", "b" * 32).model_copy(update={"payload": {"files": {"html": page}, "seeds": [1, "x"]}}))
    age(lake)
    vacuum(lake)
    assert [lake.storage.exists(p) for p in (page, rows, record, orphan)] == [True, True, True, False]


def test_lineage_goes_up_to_the_documents_and_down_to_the_release(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    for slice_ in (DAY, NEXT):
        with_documents(slice_)
        run_pipeline(lake, pipeline(), slice_)
    admit = lake.current_receipts(DAY)["admit"]
    mix = artifact("mix", "m-1", "a" * 32, parents=(admit.fingerprint,))
    release = artifact("release", "r-1", "b" * 32, parents=(mix.fingerprint,))
    for made in (mix, release):
        lake.record_artifact(made)
    up = [(n.kind, n.name) for n in lineage.up(lake, "r-1")]
    assert up[:3] == [("release", "r-1"), ("mix", "m-1"), ("stage admit", str(DAY))]
    assert ("stage extract", str(DAY)) in up and str(NEXT) not in {name for _, name in up}
    down = {(n.kind, n.name) for n in lineage.down(lake, str(DAY))}
    assert {("release", "r-1"), ("mix", "m-1"), ("stage length", str(DAY))} <= down
    assert ("release", "r-1") not in {(n.kind, n.name) for n in lineage.down(lake, str(NEXT))}
    assert {n.name for n in lineage.down(lake, admit.code)} >= {"r-1", str(DAY), str(NEXT)}, "what a version of the code went into"
    with pytest.raises(InputError, match="'nobody' is not known to the lake"):
        lineage.up(lake, "nobody")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of ours in a folder of its own: a stage, what it imports, and what it does not."""
    folder = tmp_path / "headrace_digest_test"
    folder.mkdir()
    sources = {
        "__init__": "",
        "stage": "from headrace_digest_test.helper import f\n\n\ndef process():\n    return f()\n",
        "helper": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from headrace_digest_test import types_only\n\n\n"
        "def f():\n    from headrace_digest_test.late import g\n\n    return g()\n",
        "late": "def g():\n    return 1\n",
        "types_only": "A = int\n",
        "unrelated": "x = 1\n",
    }
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder  # type: ignore[misc]
    for name in [n for n in sys.modules if n.startswith("headrace_digest_test")]:
        del sys.modules[name]


def test_a_code_digest_follows_what_a_stage_imports_and_nothing_else(package: Path) -> None:
    def edited(file: str, text: str) -> str:
        (package / file).write_text(text)
        return code_digest("headrace_digest_test.stage")

    before = code_digest("headrace_digest_test.stage")
    assert code_closure("headrace_digest_test.stage") == {f"headrace_digest_test{m}" for m in ("", ".stage", ".helper", ".late")}
    assert edited("unrelated.py", "x = 2\n") == before
    assert edited("types_only.py", "A = str\n") == before
    assert edited("late.py", '"""A docstring."""\n\n# and a comment\ndef g():\n    return  1\n') == before
    assert edited("late.py", "def g():\n    return 2\n") != before, "imported inside a function, two modules away"
    assert edited("late.py", "def g():\n    return 1\n") == before
