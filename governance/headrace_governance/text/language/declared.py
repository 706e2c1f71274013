"""Which languages the source of a slice declares, and what is to become of pages in another one.

Only these two fields of the source's file are looked at, so that nothing else in it changes a verdict. A slice whose source has no file
any more is judged by what its crawl or import recorded; one whose source declares nothing is not judged by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from headrace_lake.errors import ConfigError
from headrace_lake.slices import Slice
from headrace_lake.strict import read_yaml

MANY = frozenset({"mul", "und", "zxx"})
"""ISO 639-2 codes with which a source says that it is in no certain language."""
MACRO = {"nb": "no", "in": "id", "iw": "he", "cmn": "zh", "mo": "ro"}
"""Declared codes that the classifier has under another one."""
DECLARED = pa.schema([("language", pa.string()), ("undeclared", pa.string())])


def language_code(tag: str) -> str:
    """The classifier's code for a BCP 47 tag: `zh-Hans-CN` → `zh`, `nb` → `no`."""
    code = tag.replace("_", "-").partition("-")[0].strip().lower()
    return MACRO.get(code, code)


def declared_languages(reader: Any, slice_: Slice) -> dict[str, pa.Table]:
    """A table of the codes that the source declares, each with the source's own policy (empty: the stage's); none if it declares none.

    Args:
        reader: the lake, whose settings say where the sources lie.
    """
    said = _source(reader, slice_)
    languages = said.get("languages") or ()
    if isinstance(languages, str) or not isinstance(languages, Iterable):
        raise ConfigError(f"source {slice_.source}: 'languages' is not a list", "write languages: [zh]")
    codes = sorted({language_code(str(tag)) for tag in languages})
    if not codes or MANY & set(codes):
        return {}
    undeclared = str(said.get("undeclared_languages") or "")
    return {"declared_languages": pa.Table.from_pylist([{"language": c, "undeclared": undeclared} for c in codes], schema=DECLARED)}


def _source(reader: Any, slice_: Slice) -> dict[str, Any]:
    """The source's fields."""
    import yaml

    settings = getattr(reader, "settings", None)
    if settings is None:
        return {}
    file = settings.resolve(settings.sources) / f"{slice_.source}.yaml"
    try:
        data = read_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        receipts = [r for r in reader.receipts(slice_) if r.stage in ("crawl", "import")]
        return dict(receipts[-1].params.get("source") or {}) if receipts else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError(f"{file}: cannot be read ({type(exc).__name__})", f"'headrace source check {slice_.source}' says more") from exc
    return data if isinstance(data, dict) else {}
