"""Order is the catalog's: of receipts, artifacts and writers of one slice the later commit counts, whatever their clocks say."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import write_documents

from headrace_lake.errors import SliceConflict
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Artifact, Receipt, new_run_id
from headrace_lake.slices import Slice
from headrace_lake.vacuum import vacuum

DAY = Slice("web", "2026-11-01")
TRIALS = 20


def _again(receipt: Receipt, off: timedelta, name: str) -> Receipt:
    """A receipt of another run of the same stage, on a host whose clock is wrong by `off`."""
    now = datetime.now(UTC) + off
    return receipt.model_copy(
        update={"run_id": f"{now:%Y%m%dT%H%M%S}-{name}", "fingerprint": digest_of(name), "started_at": now, "finished_at": now}
    )


def _made(name: str, off: timedelta, **payload: str) -> Artifact:
    return Artifact(kind="mix", name="tiny", fingerprint=digest_of(name), created_at=datetime.now(UTC) + off, payload=dict(payload))


@pytest.fixture
def clocks() -> list[timedelta]:
    """Two days fast or slow, in a seeded order."""
    rng = random.Random(18)
    return [timedelta(days=rng.choice((-2, 2)), seconds=rng.randint(-60, 60)) for _ in range(TRIALS)]


def test_the_later_commit_of_a_stage_is_current_in_20_of_20_however_wrong_the_clocks(lake: Lake, clocks: list[timedelta]) -> None:
    """More commits than manifests are kept apart: the order must also outlive their merging, and an expired snapshot."""
    receipt = write_documents(lake, DAY, parts=1, rows=3)
    for number, off in enumerate(clocks):
        before = lake.current_receipts(DAY)["extract"]
        later = _again(receipt, off, f"{number}")
        lake.commit(StageCommit(later, expects=before.run_id))
        assert lake.current_receipts(DAY)["extract"].run_id == later.run_id, f"trial {number}, clock {off}"
        assert Lake.open(lake.settings).receipts()[-1].run_id == later.run_id
    vacuum(lake, keep_snapshots=2, older_than_seconds=0)
    kept = Lake.open(lake.settings).receipts()
    assert [r.fingerprint for r in kept[1:]] == [digest_of(f"{n}") for n in range(TRIALS)]


def test_of_two_writers_of_a_slice_only_one_lands_in_20_of_20_however_wrong_the_clocks(lake: Lake, clocks: list[timedelta]) -> None:
    receipt = write_documents(lake, DAY, parts=1, rows=3)
    for number, off in enumerate(clocks):
        seen = lake.current_receipts(DAY)["extract"].run_id
        first, second = _again(receipt, off, f"a{number}"), _again(receipt, -off, f"b{number}")
        lake.commit(StageCommit(first, expects=seen))
        with pytest.raises(SliceConflict, match="committed first"):
            Lake.open(lake.settings).commit(StageCommit(second, expects=seen))
        assert lake.current_receipts(DAY)["extract"].run_id == first.run_id
    assert len(lake.receipts(DAY)) == 1 + TRIALS


def test_the_later_recorded_artifact_is_the_newest_in_20_of_20_however_wrong_the_clocks(lake: Lake, clocks: list[timedelta]) -> None:
    for number, off in enumerate(clocks):
        lake.record_artifact(_made(f"{number}", off))
        found = Lake.open(lake.settings).find_artifact("mix", name="tiny")
        assert found is not None and found.fingerprint == digest_of(f"{number}"), f"trial {number}, clock {off}"
    expected = [digest_of(f"{n}") for n in range(TRIALS)]
    assert [a.fingerprint for a in lake.artifacts()] == expected
    # What reads the table itself gets the same order: with a filter, without one, and as of an older snapshot.
    assert lake.read("artifacts", columns=["fingerprint"])["fingerprint"].to_pylist() == expected
    filtered = lake.read("artifacts", columns=["fingerprint"], where="kind = 'mix' and name = 'tiny'")
    assert filtered.column_names == ["fingerprint"] and filtered["fingerprint"].to_pylist() == expected
    at = lake.history("artifacts")[4]["snapshot"]
    assert lake.read("artifacts", columns=["fingerprint"], snapshot=at)["fingerprint"].to_pylist() == expected[:5]
    assert lake.artifacts("run") == []


def test_an_artifact_is_refused_when_another_came_since_it_was_decided(lake: Lake) -> None:
    """`unless` sees what the commit comes right after, also when another writer moves the table meanwhile."""
    lake.record_artifact(_made("first", timedelta()))
    seen: list[list[str]] = []

    def only_after_the_first(there: list[Artifact]) -> None:
        seen.append([a.fingerprint for a in there])
        if len(seen) == 1:  # somebody else is quicker
            Lake.open(lake.settings).record_artifact(_made("second", timedelta(days=-2)))
        elif seen[-1] != seen[0]:
            raise LookupError("another came first")

    with pytest.raises(LookupError):
        lake.record_artifact(_made("third", timedelta(days=2)), unless=only_after_the_first)
    assert [a.fingerprint for a in lake.artifacts("mix")] == [digest_of("first"), digest_of("second")]


def test_a_filter_over_a_log_returns_the_rows_that_iceberg_returns(lake: Lake) -> None:
    for number in range(4):
        write_documents(lake, Slice("web", f"2026-11-0{number + 1}"), parts=1, rows=number + 1)
    lake.commit(StageCommit(_again(lake.receipts()[0], timedelta(days=-2), new_run_id())))
    for where in ("slice = '2026-11-02'", "read > 1 and kept < 4", "source = 'nobody'", "stage = 'extract' or read = 1"):
        rows = lake.read("receipts", columns=["slice", "read"], where=where)
        plain: pa.Table = lake.table("receipts").scan(row_filter=where, selected_fields=("slice", "read")).to_arrow()
        assert rows.sort_by("read").to_pylist() == plain.select(["slice", "read"]).sort_by("read").to_pylist(), where
    one = lake.read("receipts", DAY, where="read = 1")
    assert pc.all(pc.equal(one["slice"], DAY.interval)).as_py() and one.num_rows == 2
