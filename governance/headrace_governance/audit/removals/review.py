"""What judges look at: cases with their texts, as JSON Lines or as one static page that works offline.

Documents are hostile. The page gets them as one JSON data block in which `<`, `>` and `&` are escaped, writes them with
`textContent` only, and its content security policy allows the page's own script and style by their digests and nothing else: no
request leaves it. Characters that would reorder or hide text (bidirectional controls) are shown as their code points.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace_governance.audit.document_trace import measured_line
from headrace_governance.audit.removals.sample import Case, Sample
from headrace_governance.audit.removals.texts import digest_of_text, read_texts
from headrace_lake.lake import Lake

_ASSETS = Path(__file__).parent / "review_page"
GONE = "no longer in the lake"
CHANGED = "changed since the sample was drawn"


def shown_cases(lake: Lake, cases: Sequence[Case], characters: int) -> list[dict[str, Any]]:
    """Cases as judges see them: texts cut to `characters`, with a note where a text is gone or changed."""
    texts = read_texts(lake, [key for c in cases for key in (c.removed, c.kept) if key is not None])
    shown = []
    for case in cases:
        removed, removed_note = _text(texts.get(case.removed), case.text_digest, characters)
        kept, kept_note = (None, "") if case.kept is None else _text(texts.get(case.kept), case.keeper_digest, characters)
        shown.append(
            {
                "case": case.case,
                "verdict": case.verdict,
                "reason": case.reason,
                "stratum": case.stratum,
                "language": case.language,
                "document": f"{case.source}/{case.slice}/{case.uid}",
                "keeper": case.keeper,
                "measured": measured_line(case.measured),
                "removed": removed,
                "removed_note": removed_note,
                "kept": kept,
                "kept_note": kept_note,
            }
        )
    return shown


def _text(text: str | None, digest: str, characters: int) -> tuple[str, str]:
    if text is None:
        return "", GONE
    note = "" if digest_of_text(text) == digest else CHANGED
    if len(text) > characters:
        note = f"{note}; " * bool(note) + f"the first {characters:,} of {len(text):,} characters"
    return text[:characters].encode("utf-8", "replace").decode("utf-8"), note


def jsonl(sample: Sample, shown: Sequence[dict[str, Any]]) -> str:
    """One line a case; what some readers take for line ends (U+0085, U+2028, U+2029) is escaped."""
    lines = [json.dumps({"sample": sample.fingerprint, **case}, ensure_ascii=False) for case in shown]
    return "".join(re.sub("[\x85\u2028\u2029]", lambda m: f"\\u{ord(m[0]):04x}", line) + "\n" for line in lines)


def page(sample: Sample, shown: Sequence[dict[str, Any]]) -> str:
    """The page, whole."""
    script, style, frame = ((_ASSETS / name).read_text(encoding="utf-8") for name in ("page.js", "page.css", "page.html"))
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_source_digest(script)}'",
            f"style-src '{_source_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    data = {"sample": sample.fingerprint, "slices": list(sample.slices), "cases": list(shown)}
    parts = {"@POLICY@": policy, "@STYLE@": style, "@SCRIPT@": script, "@DATA@": _data_block(data)}
    # Each mark once and the data last, so that nothing in a document is ever taken for a mark.
    for mark, text in parts.items():
        before, _, after = frame.partition(mark)
        frame = before + text + after
    return frame


def _data_block(data: Any) -> str:
    """JSON that no HTML parser can read as markup."""
    text = json.dumps(data, ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _source_digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
