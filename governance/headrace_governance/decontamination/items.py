"""Files of evaluation items: JSON Lines or Parquet, with a mapping that says which columns hold what.

A row that cannot be used (no JSON, no text, an id that was there before) is reported with its number; the rest is read.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from headrace_governance.decontamination.rules import FIELDS
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import digest_bytes, digest_of
from headrace_lake.strict import StrictModel

MAX_LINE, MAX_TEXT, MAX_TEXTS = 16 << 20, 1 << 20, 1000
"""Bytes of a line and of one text, texts of one item: beyond these a row is refused."""


class Mapping(StrictModel):
    """Which columns of a file hold what. A column may be a nested one (`passage.text`) and may hold a list of texts.

    Attributes:
        fields: field → columns; names of `FIELDS`.
        id: column of the item's id; the row's number where there is none.
        language_column: column of each item's language, if the set has several.
    """

    fields: dict[str, tuple[str, ...]]
    id: str = ""
    language_column: str = ""


class SetAbout(StrictModel):
    """What is declared of a set.

    Attributes:
        name: letters, digits, `-` and `_`.
        language: ISO 639-1 code of its items.
        licence: what the set's authors allow.
        revision: the authors' version; the digest of the content if empty.
    """

    name: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,62}$")
    language: str = Field(pattern=r"^[A-Za-z]{2,3}([-_][0-9A-Za-z]+)*$")
    licence: str = Field(min_length=1)
    revision: str = ""


@dataclass
class Rows:
    """Texts of items, and rows that could not be used: (row, error, the row as JSON)."""

    read: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    kept: int = 0


def read_items(file: Path, about: SetAbout, mapping: Mapping) -> Rows:
    """The items of a JSON Lines (.jsonl, also .gz, .zst) or Parquet file.

    Raises:
        InputError: the file is missing or damaged, or has no usable row.
    """
    for name in mapping.fields:
        if name not in FIELDS:
            raise ConfigError(f"no field '{name}'", f"fields: {', '.join(FIELDS)}")
    rows, seen = Rows(), dict[str, int]()
    for number, row in _raw_rows(file):
        rows.read += 1
        try:
            if isinstance(row, Exception):
                raise row
            found = _texts(row, number, about, mapping)
            before = seen.setdefault(found[0]["item"], number)
            if before != number:
                raise ValueError(f"id '{found[0]['item']}' occurs before, in row {before}")
        except (ValueError, RecursionError) as exc:
            shown = "" if isinstance(row, Exception) else json.dumps(row, ensure_ascii=False, default=str)[:2000]
            rows.bad.append((number, str(exc)[:500], shown))
            continue
        rows.kept += 1
        rows.items += found
    if not rows.items:
        first = f"first: row {rows.bad[0][0]}: {rows.bad[0][1]}" if rows.bad else "it is empty"
        raise InputError(f"{file}: no usable row ({first})", "say with --question, --answer, --context which columns hold texts")
    return rows


def _raw_rows(file: Path) -> Iterator[tuple[int, dict[str, Any] | Exception]]:
    """Rows with their numbers, the first is 1; a line that is not a JSON object is an exception."""
    if not file.is_file():
        raise InputError(f"{file}: no such file", "check the path")
    number = 0
    try:
        if file.suffix == ".parquet":
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=1024):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
            return
        with pa.input_stream(str(file), compression="detect") as raw, io.BufferedReader(raw) as stream:
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise InputError(f"{file}: line {number} is longer than {MAX_LINE >> 20} MiB", "write one item a line")
                if line.strip():
                    yield number, _object(line)
    except (pa.ArrowInvalid, OSError) as exc:
        raise InputError(f"{file}: damaged after row {number} ({' '.join(str(exc).split())[:200]})", "write or copy it again") from exc


def _object(line: bytes) -> dict[str, Any] | Exception:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as exc:
        return ValueError(f"not JSON: {exc}")
    return values if isinstance(values, dict) else ValueError("not a JSON object")


def _texts(row: dict[str, Any], number: int, about: SetAbout, mapping: Mapping) -> list[dict[str, Any]]:
    """The texts of one row as rows of `evaluation_items`.

    Raises:
        ValueError: no text, one that is not text, or too many.
    """
    item = _column(row, mapping.id) if mapping.id else number
    if not isinstance(item, str | int) or item == "":
        raise ValueError(f"id '{mapping.id}' is {type(item).__name__}")
    language = _column(row, mapping.language_column) if mapping.language_column else about.language
    if not isinstance(language, str) or not language:
        raise ValueError(f"language '{mapping.language_column}' is {type(language).__name__}")
    out = []
    for name in FIELDS:
        texts = [t for column in mapping.fields.get(name, ()) for t in _strings(_column(row, column), column)]
        out += [item_row(about.name, str(item), name, n, t, language=language) for n, t in enumerate(texts) if t.strip()]
    if not out:
        raise ValueError(f"no text in {', '.join(c for cs in mapping.fields.values() for c in cs)}")
    if len(out) > MAX_TEXTS:
        raise ValueError(f"{len(out)} texts, more than {MAX_TEXTS}")
    return out


def _column(row: dict[str, Any], name: str) -> Any:
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _strings(value: Any, column: str) -> list[str]:
    """The texts in a value: itself, or those of a list (of lists)."""
    if value is None:
        return []
    if isinstance(value, str):
        if len(value.encode("utf-8", "surrogatepass")) > MAX_TEXT:
            raise ValueError(f"'{column}' is longer than {MAX_TEXT >> 20} MiB")
        return [value.encode("utf-8", "replace").decode("utf-8")]
    if isinstance(value, list | tuple):
        return [s for v in value for s in _strings(v, column)]
    raise ValueError(f"'{column}' is {type(value).__name__}, not text")


def item_row(set_: str, item: str, name: str, ordinal: int, text: str, *, language: str, origin: str | None = None) -> dict[str, Any]:
    """A row of `evaluation_items`, without what is the same for the whole set."""
    return {
        "uid": digest_of([set_, item, name, ordinal]),
        "set": set_,
        "item": item,
        "language": language.lower().replace("_", "-").partition("-")[0],
        "field": name,
        "text": text,
        "digest": digest_bytes(text.encode("utf-8")),
        "origin": origin,
    }
