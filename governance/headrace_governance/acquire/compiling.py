"""Compile the numba kernels of a pipeline before its first slice, by a run over a few texts in a temporary lake.

numba compiles a function when it is called for the first time on a machine, and keeps the result beside the source: a minute or two of
processor time for the text pipeline. Workers that begin at the same time would each compile all of it, so whoever has a minute before the
first slice (`headrace poc` while it fetches its samples, the test suite) has it done once. Done again, it takes some ten seconds.

A whole run calls each kernel with the types that real slices bring, so no list of kernels and signatures has to be kept. The kernels of
the HTML reader, half of the work, are compiled beside it by a parser process, which does so before it waits for its first page.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_lake.engine import load_pipeline, run_pipeline
from headrace_lake.errors import StageError
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

_TEXTS = {
    "en": "The canal that feeds the mill was dug by the monks, and it has been kept clean with great care for six hundred years. "
    "In winter the miller breaks the ice before dawn, because a frozen wheel can tear its axle from the wall of the house.",
    "zh": "水渠把山上的泉水引到村口的磨坊，六百年来一直有人清理。冬天天还没亮，磨坊主人就要敲碎冰面，不然冻住的水轮会把轴从墙上扯下来。",
    "ru": "Канал, который ведёт воду к мельнице, вырыли монахи, и шестьсот лет его бережно чистят. Зимой мельник до рассвета колет лёд.",
    "ja": "村の粉ひき場まで水を引く用水路は修道士たちが掘り、六百年のあいだ丁寧に手入れされてきた。冬には夜明け前に氷を割る。",
}
_PARSER_LIMITS = ("600", str(8 << 30))
"""Seconds and bytes that the parser process is told; it gets no page, so neither is ever near."""


@dataclass(frozen=True)
class Compiled:
    """What was run.

    Attributes:
        documents: documents that the pipeline read.
        stages: stages that ran on them.
    """

    documents: int
    stages: int


def compile_kernels(settings: Settings, pipeline: str = "text") -> Compiled:
    """Run a pipeline over this module's own texts in a lake that is deleted afterwards.

    Args:
        settings: whose pipelines and policies are used; its lake is not touched.

    Raises:
        HeadraceError: the pipeline is unknown, a stage of it fails, or the HTML reader cannot be compiled.
    """
    loaded = load_pipeline(settings, pipeline)
    command = [sys.executable, "-m", "headrace_governance.text.parser_process", *_PARSER_LIMITS]
    with tempfile.TemporaryDirectory(prefix="headrace-compile-") as place, subprocess.Popen(command, stdin=subprocess.DEVNULL) as parser:
        try:
            folder = Path(place)
            lake = Lake.open(settings.model_copy(update={"lake": LakeSettings(root=str(folder / "lake"))}))
            licence = {"id": "CC0-1.0", "class": "public", "basis": "written for this purpose", "evidence": {"text": "public domain"}}
            texts = _write_texts(folder / "texts")
            fetch = {"kind": "folder", "path": str(folder / "texts")}
            source = Source.model_validate({"id": "compiling", "licence": licence, "fetch": fetch})
            slice_ = Slice(source.id, "once")
            fetch_slice(lake, source, slice_)
            run_pipeline(lake, loaded, slice_)
        except BaseException:
            parser.kill()
            raise
    if parser.returncode:
        raise StageError(f"the HTML reader's process ended with {parser.returncode}", "what it said stands above")
    return Compiled(texts, len(loaded.stages))


def _write_texts(folder: Path) -> int:
    """Plain text and Markdown, each text twice: duplicates have kernels of their own; returns how many."""
    folder.mkdir()
    for language, text in _TEXTS.items():
        for suffix in ("txt", "md"):
            title, marks = ("# Mill\n\n", "\n\n- stone\n- wheel\n\n```\nopen(gate)\n```\n") if suffix == "md" else ("", "\n")
            for copy in range(2):
                (folder / f"{language}-{copy}.{suffix}").write_text(title + f"{text}\n\n" * 8 + marks, encoding="utf-8")
    return len(_TEXTS) * 4
