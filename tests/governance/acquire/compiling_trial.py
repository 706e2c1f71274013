"""Compile a pipeline's kernels, then run a slice of web pages; print the signatures that only the pages brought.

python compiling_trial.py FOLDER CHECKOUT
"""

from __future__ import annotations

import sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from headrace_governance.acquire.compiling import compile_kernels
from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_lake.engine import load_pipeline, run_pipeline
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

PAGES = {
    "en": "The ferry leaves at eight, and whoever comes late must row across the lake with a boat that leaks at both ends.",
    "de": "Die Fähre legt um acht Uhr ab, und wer zu spät kommt, der muss mit einem undichten Boot über den See rudern.",
    "zh": "渡船八点开，来晚的人只好自己划一条两头漏水的小船过湖，湖面上常常起雾，看不见对岸的灯。",
    "ja": "渡し船は八時に出ます。遅れた人は、両端から水の漏れる小舟を自分で漕いで湖を渡らなければなりません。",
    "ko": "나룻배는 여덟 시에 떠나고, 늦게 온 사람은 양쪽 끝에서 물이 새는 배를 저어 호수를 건너야 한다.",
}


def signatures() -> set[str]:
    """Of every kernel of ours that is loaded: module, name, types of the arguments."""
    found = set()
    for name, module in list(sys.modules.items()):
        if name.startswith("headrace_"):
            for value in vars(module).values():
                if isinstance(value, Dispatcher) and value.py_func.__module__ == name:
                    found |= {f"{name}.{value.py_func.__name__}{signature}" for signature in value.signatures}
    return found


def main(folder: Path, checkout: Path) -> None:
    settings = Settings.model_validate({"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")})
    compile_kernels(settings)
    before = signatures()
    pages = folder / "pages"
    pages.mkdir()
    for language, sentence in PAGES.items():
        for copy in range(3):
            body = "".join(f"<p>{sentence} {n}</p>" for n in range(10)) + f"<pre><code>row({copy})</code></pre>"
            (pages / f"{language}{copy}.html").write_text(f"<title>Ferry</title><h1>Ferry</h1>{body}", encoding="utf-8")
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "public domain"}}
    source = Source.model_validate({"id": "ferry", "licence": licence, "fetch": {"kind": "folder", "path": str(pages)}})
    lake = Lake.open(settings)
    slice_ = Slice("ferry", "once")
    fetch_slice(lake, source, slice_)
    run_pipeline(lake, load_pipeline(settings, "text"), slice_)
    print("KERNELS", len(before), *sorted(signatures() - before), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
