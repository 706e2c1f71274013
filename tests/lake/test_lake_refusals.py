"""What the lake and its settings refuse, each in a line that says the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from socket import socket

import pytest
import yaml
from conftest import write_documents
from stages_for_tests import Length

from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.errors import ConfigError, InputError, StorageError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import LakeSettings, S3Settings, Secret, Settings, load_settings
from headrace_lake.slices import Slice
from headrace_lake.strict import read_yaml

DAY = Slice("web", "2026-11-01")


def test_a_filter_that_is_none_and_a_column_that_is_not_there(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    assert lake.read("documents", DAY, where="characters > 5").num_rows < lake.read("documents", DAY).num_rows
    with pytest.raises(InputError, match="'characters >>> 5' is not a row filter"):
        lake.read("documents", DAY, where="characters >>> 5")
    with pytest.raises(InputError, match="colour.*columns: .*uid"):
        lake.read("documents", DAY, where="colour = 'red'")


def test_a_snapshot_that_never_was(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    with pytest.raises(InputError, match="documents has no snapshot 42"):
        lake.read("documents", snapshot=42)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("catalog", "postgresql+psycopg2://user@host/db?password=hunter2-4711"),
        ("catalog", "postgresql+psycopg2://user@host/db?sslmode=require&sslpassword=hunter2-4711"),
        ("catalog", "postgresql+psycopg2:///db?host=h&user=u&PassWord=hunter2-4711"),
        ("endpoint", "https://me:hunter2-4711@s3.example"),
        ("endpoint", "https://s3.example?secret=hunter2-4711"),
        ("endpoint", "https://s3.example#hunter2-4711"),
        ("endpoint", "hunter2-4711"),
        ("endpoint", "ftp://hunter2-4711"),
    ],
)
def test_a_secret_in_the_query_of_a_catalog_or_in_an_endpoint_is_refused_and_not_repeated(tmp_path: Path, field: str, value: str) -> None:
    keys = {"access_key": {"env": "A"}, "secret_key": {"env": "B"}}
    lake = {"catalog": value} if field == "catalog" else {"s3": {"endpoint": value, **keys}}
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"lake": lake}), encoding="utf-8")
    with pytest.raises(ConfigError, match=field) as refused:
        load_settings(file)
    assert "4711" not in str(refused.value)
    passfile = {"lake": {"catalog": "postgresql+psycopg2://user@host/db?passfile=/run/secrets/pg&sslmode=require"}}
    file.write_text(yaml.safe_dump(passfile | {"lake": passfile["lake"] | {"s3": {"endpoint": "http://127.0.0.1:8333", **keys}}}))
    assert load_settings(file).lake.s3 is not None


def test_a_password_in_the_catalog_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("lake:\n  root: lake\n  catalog: postgresql+psycopg2://me:planted-secret@127.0.0.1/lake\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="catalog_password") as caught:
        load_settings(file)
    assert "planted-secret" not in str(caught.value)


def test_only_true_and_false_are_booleans() -> None:
    assert read_yaml("{no: yes, on: off, y: n, a: true, b: False, c: 1}") == {
        "no": "yes",
        "on": "off",
        "y": "n",
        "a": True,
        "b": False,
        "c": 1,
    }


@pytest.mark.parametrize("text", ["[" * 100_000, "a: \ud800", "a: !!python/object/apply:os.getcwd []", "a: [1", "a: *b", "a: \x01"])
def test_what_is_no_yaml_is_said_to_be_none(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)


def test_an_object_store_that_does_not_answer_is_one_line_without_the_keys(tmp_path: Path) -> None:
    with socket() as taken:  # bound, so nobody else takes the port; not listening, so nobody answers
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "key").write_text("planted-key")
        (tmp_path / "secret").write_text("planted-secret")
        s3 = S3Settings(endpoint=endpoint, access_key=Secret(file=tmp_path / "key"), secret_key=Secret(file=tmp_path / "secret"))
        settings = LakeSettings(root="s3://lake/here", catalog=f"sqlite:///{tmp_path / 'catalog.db'}", s3=s3)
        lake = Lake.open(Settings(lake=settings, base=tmp_path))
        for touch in (
            lambda: write_documents(lake, DAY),
            lambda: lake.storage.put_bytes("x", b"y"),
            lambda: lake.storage.exists("x"),
            lambda: lake.storage.list("x"),
            lambda: lake.storage.read_bytes("x"),
        ):
            with pytest.raises(StorageError, match="reachable") as caught:
                touch()
            assert "\n" not in str(caught.value) and "planted" not in str(caught.value)


def test_a_catalog_that_is_locked_or_lost_is_one_line(lake: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(DAY)
    catalog = lake.storage.local_path("catalog.db")
    catalog.write_bytes(b"this is no database, and it is long enough to be looked at" * 100)
    lake.catalog.engine.dispose()
    with pytest.raises(StorageError, match="file is not a database.*reachable") as caught:
        run_pipeline(lake, Pipeline.of("t", Length()), DAY)
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError, match="not reachable: file is not a database"):
        Lake.open(lake.settings)


def test_a_settings_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.symlink_to(file)
    with pytest.raises(ConfigError, match=r"headrace.yaml: Too many levels of symbolic links. make the file readable"):
        load_settings(file)
