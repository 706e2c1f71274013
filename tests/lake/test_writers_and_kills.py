"""Many writers, and drivers killed at any moment: on a local path and on a real S3 server."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import write_documents
from patience import PATIENCE_S
from servers import object_store
from stages_for_tests import Admit, Length, LengthParams

from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.errors import SliceConflict
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, S3Settings, Settings
from headrace_lake.slices import Slice

DAY = Slice("web", "2026-11-01")
SEED = 20261125
TRIALS = 20

# A server process that has imported everything and forks: a writer starts in milliseconds and shares no connection.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["headrace_lake.engine", "pyiceberg.catalog.sql", "s3fs"])


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Settings]:
    """SeaweedFS on free loopback ports, with a bucket `lake`."""
    with object_store(tmp_path_factory.mktemp("weed"), "lake") as store:
        yield store.settings


@pytest.fixture(params=["local", "s3"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a lake that several processes open."""
    if request.param == "local":
        return Settings(lake=LakeSettings(root=str(tmp_path / "lake")), base=tmp_path)
    s3 = request.getfixturevalue("s3")
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    return Settings(lake=LakeSettings(root=f"s3://lake/{tmp_path.name}", catalog=catalog, s3=s3), base=tmp_path)


def commit_slices(settings: dict[str, Any], slices: list[str], start: Any, results: Any) -> None:
    """A writer: waits for the others, then commits its slices one by one."""
    lake = Lake.open(Settings.model_validate(settings))
    start.wait()
    for text in slices:
        try:
            write_documents(lake, Slice.parse(text), parts=1, rows=20, expects="")
            results.put((text, "landed"))
        except SliceConflict as exc:
            results.put((text, str(exc)))


def write_at_once(settings: Settings, *writers: list[str]) -> list[tuple[str, str]]:
    Lake.open(settings)
    start, results = processes.Barrier(len(writers)), processes.Queue()
    running = [processes.Process(target=commit_slices, args=(settings.model_dump(mode="json"), w, start, results)) for w in writers]
    for process in running:
        process.start()
    found = [results.get(timeout=PATIENCE_S) for w in writers for _ in w]
    for process in running:
        process.join(30)
    return found


def test_writers_of_different_slices_all_land(shared: Settings) -> None:
    wanted = [[f"w{n}/2026-11-0{day}" for day in (1, 2, 3)] for n in range(3)]
    found = write_at_once(shared, *wanted)
    assert {outcome for _, outcome in found} == {"landed"}
    lake = Lake.open(shared)
    assert sorted(map(str, lake.slices("documents"))) == sorted(s for w in wanted for s in w)
    assert lake.read("documents", None).num_rows == 9 * 20
    assert len(lake.receipts(None)) == 9


def test_of_two_writers_of_one_slice_one_lands_and_the_other_says_who_won(shared: Settings) -> None:
    found = write_at_once(shared, [str(DAY)], [str(DAY)])
    outcomes = sorted((outcome for _, outcome in found), key=lambda o: o != "landed")
    [receipt] = Lake.open(shared).receipts(DAY)
    assert outcomes[0] == "landed"
    assert f"run {receipt.run_id}" in outcomes[1] and f"process {receipt.process}" in outcomes[1] and "committed first" in outcomes[1]
    assert Lake.open(shared).read("documents", DAY).num_rows == 20


def test_objects_written_together_are_all_there_in_the_end_and_none_if_it_fails(shared: Settings) -> None:
    storage = Lake.open(shared).storage
    wanted = {f"work/{i}": bytes([i]) * i * 1000 for i in range(20)}
    with pytest.raises(RuntimeError), storage.together() as store:
        store.put_bytes("work/none", b"x")
        raise RuntimeError
    with storage.together() as store:
        for path, data in wanted.items():
            store.put_bytes(path, memoryview(data))
        assert storage.list("work") == [] or not storage.remote
    assert {o.path: storage.read_bytes(o.path) for o in storage.list("work")} == wanted


def pipeline() -> Pipeline:
    return Pipeline.of("t", Length(LengthParams(minimum=5, pause_seconds=0.02)), Admit())


def drive(settings: dict[str, Any], began: Any) -> None:
    """A stage driver."""
    began.set()
    run_pipeline(Lake.open(Settings.model_validate(settings)), pipeline(), DAY)


def files(lake: Lake) -> dict[str, list[tuple[int, str, str]]]:
    return {t: [(f.part, f.path, f.digest) for f in lake.slice_files(t, DAY)] for t in ("verdict_c4", "admitted", "exclusions")}


def test_a_driver_killed_at_any_moment_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Seeded; the moment of each kill is printed, so that a failure can be looked at."""
    rng = random.Random(SEED)

    def fresh(name: str) -> Settings:
        settings = Settings(lake=LakeSettings(root=str(tmp_path / name)), base=tmp_path)
        write_documents(Lake.open(settings), DAY)
        return settings

    began = time.monotonic()
    undisturbed = fresh("undisturbed")
    started = time.monotonic()
    run_pipeline(Lake.open(undisturbed), pipeline(), DAY)
    length = time.monotonic() - started
    expected = files(Lake.open(undisturbed))
    assert all(expected.values())
    killed = 0
    for trial in range(TRIALS):
        settings = fresh(f"trial-{trial}")
        event = processes.Event()
        driver = processes.Process(target=drive, args=(settings.model_dump(mode="json"), event))
        driver.start()
        assert event.wait(PATIENCE_S)
        after = rng.uniform(0, length)
        driver.join(after)
        if driver.is_alive() and driver.pid is not None:
            os.kill(driver.pid, signal.SIGKILL)
            killed += 1
        driver.join()
        lake = Lake.open(settings)
        seen = files(lake)
        assert all(seen[t] in ([], expected[t]) for t in expected), f"trial {trial}, killed after {after:.3f} s: half a slice is visible"
        run_pipeline(lake, pipeline(), DAY)
        assert files(lake) == expected, f"trial {trial}, killed after {after:.3f} s"
        runs = Counter((r.stage, r.fingerprint) for r in lake.receipts(DAY))
        assert set(runs.values()) == {1}, f"trial {trial}, killed after {after:.3f} s: a stage was committed twice"
    print(f"seed {SEED}: {killed} of {TRIALS} drivers killed within {length:.2f} s, {time.monotonic() - began:.0f} s in all")
    assert killed >= TRIALS * 3 // 4


def test_a_damaged_shard_is_computed_again_not_adopted(lake: Lake, with_documents: Any) -> None:
    with_documents(DAY)
    run_pipeline(lake, pipeline(), DAY)
    [shard, *_] = lake.slice_files("admitted", DAY)
    path = lake.storage.local_path(shard.path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert [s.action for s in run_pipeline(lake, pipeline(), DAY).stages] == ["adopted", "computed"]
    assert path.read_bytes() == whole
