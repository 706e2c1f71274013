"""Writes that are made together: all of them or none, whatever happens between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hyp
from hypothesis import strategies as st

from headrace_lake.errors import StorageError
from headrace_lake.lake import Lake


def files(lake: Lake, folder: str) -> dict[str, bytes]:
    """What lies below a folder, temporary files too."""
    root = Path(lake.storage.root)
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted((root / folder).rglob("*")) if p.is_file()}


@hyp(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(st.tuples(st.sampled_from(["x/a", "x/b", "x/deep/c"]), st.binary(max_size=40))), earlier=st.sampled_from(["", "x/a"])
)
def test_of_equal_names_the_last_one_is_there_and_nothing_before_the_end(
    tmp_path_factory: pytest.TempPathFactory, lake: Lake, writes: list[tuple[str, bytes]], earlier: str
) -> None:
    base = tmp_path_factory.mktemp("t").name
    before = {}
    if earlier:
        lake.storage.put_bytes(f"{base}/{earlier}", b"earlier")
        before = {f"{base}/{earlier}": b"earlier"}
    with lake.storage.together() as store:
        for path, data in writes:
            assert store.put_bytes(f"{base}/{path}", data)
        assert {p: d for p, d in files(lake, base).items() if ".tmp-" not in p} == before
    assert files(lake, base) == before | {f"{base}/{path}": data for path, data in writes}


def test_what_raises_leaves_nothing_and_no_open_file(lake: Lake) -> None:
    lake.storage.put_bytes("x/a", b"earlier")
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ValueError, match="half way"), lake.storage.together() as store:
        store.put_bytes("x/a", b"new")
        store.put_bytes("x/b", b"new")
        raise ValueError("half way")
    assert files(lake, "x") == {"x/a": b"earlier"}
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_disk_that_fails_at_the_end_is_said_by_name_and_leaves_no_temporary_file(lake: Lake) -> None:
    (Path(lake.storage.root) / "x" / "b").mkdir(parents=True)  # a file cannot take a folder's place
    with pytest.raises(StorageError, match="x/b"), lake.storage.together() as store:
        store.put_bytes("x/b", b"new")
        store.put_bytes("x/c", b"new")
    assert files(lake, "x") == {}
