"""Wikipedia dumps: our conversion beside mwparserfromhell's own `strip_code`, the plain-text reading that the parser ships.

    python benchmarks/text/bench_wikitext.py DUMP.xml.bz2 ...

A dump to try it on: gensim's source distribution on PyPI holds shortened English and Bulgarian ones under `gensim/test/test_data`.
Words (of letters) of both texts are compared first: what share of strip_code's words we keep, for pages whose references, tables and
link sections are a part of the loss. Times are of the processor, in this one process.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from pathlib import Path

from headrace_governance.sources.import_options import WikipediaFetch
from headrace_governance.text.formats.convert import ConversionRules, convert
from headrace_governance.text.formats.wikipedia.read import read_wikipedia
from headrace_governance.text.xml_tree import local_name, parse_xml
from headrace_lake.strict import load_yaml

RULES = Path(__file__).parents[2] / "governance/pipelines/filters/wikitext.yaml"
WORD = re.compile(r"[^\W\d_]{2,}")


def main() -> None:
    import mwparserfromhell

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dumps", nargs="+", type=Path)
    dumps = parser.parse_args().dumps
    rules = load_yaml(RULES, ConversionRules)
    start = time.process_time()
    items = list(read_wikipedia(WikipediaFetch(kind="wikipedia", paths=tuple(map(str, dumps))), dumps))
    reading = time.process_time() - start
    pages = [i for i in items if i.problem is None]
    reasons = Counter(i.problem[0] for i in items if i.problem is not None)
    size = sum(len(p.body) for p in pages)
    ours: list[str] = []
    start = time.process_time()
    for page in pages:
        ours.append(convert(page.content_type, page.body, page.charset, rules).text)
    converting = time.process_time() - start
    theirs: list[str] = []
    start = time.process_time()
    for page in pages:
        source = [e.text or "" for e in parse_xml(page.body).iter() if local_name(e) == "text"][-1]
        theirs.append(mwparserfromhell.parse(source).strip_code())
    stripping = time.process_time() - start
    kept = total = added = 0
    for a, b in zip(ours, theirs, strict=True):
        mine, other = Counter(WORD.findall(a)), Counter(WORD.findall(b))
        kept, total, added = kept + (mine & other).total(), total + other.total(), added + (mine - other).total()
    left = sum(len(re.findall(r"\{\{|\[\[|'''|<ref", text)) for text in ours)
    theirs_left = sum(len(re.findall(r"\{\{|\[\[|'''|<ref", text)) for text in theirs)
    print(f"pages {len(pages)} of {len(items)}, {size / 1e6:.1f} MB; left out: {dict(reasons)}")
    print(f"words of strip_code that we keep: {kept / max(1, total):.3f} of {total}; words that only we have (tables, titles): {added}")
    print(f"markup left in the text: ours {left}, strip_code {theirs_left}")
    speeds = {"reading": reading, "converting": converting, "strip_code": stripping}
    print(", ".join(f"{name} {size / 1e6 / seconds:.2f} MB/s" for name, seconds in speeds.items()))


if __name__ == "__main__":
    main()
