"""A question with its answers (rows of a Stack Exchange `Posts.xml`) → Markdown: code kept, best answer first.

Title as the document's heading, then the question, then each answer under `## Answer` (`## Accepted answer`) with its score. Tags and
licence go to the fields; the text names no user.
"""

from __future__ import annotations

import re

from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.html_fragment import fragment_text
from headrace_governance.text.xml_tree import local_name, parse_xml


def tags_of(value: str) -> list[str]:
    """`<python><list>` or `|python|list|` → names."""
    return [t for t in re.split(r"[<>|]+", value) if t]


def convert_thread(body: bytes) -> Converted:
    """Text of one thread.

    Raises:
        Malformed: no rows, or the first is not a question.
    """
    try:
        root = parse_xml(body)
    except ValueError as exc:
        raise Malformed(str(exc)) from exc
    rows = [e for e in root.iter() if local_name(e) == "row"]
    if not rows or rows[0].get("PostTypeId") != "1":
        raise Malformed("no question")
    question, answers = rows[0], rows[1:]
    title = " ".join((question.get("Title") or "").split())
    parts = [f"# {title}"] if title else []
    parts.append(fragment_text(question.get("Body") or ""))
    accepted = question.get("AcceptedAnswerId")
    for answer in answers:
        text = fragment_text(answer.get("Body") or "", level=2)
        if text:
            name = "Accepted answer" if answer.get("Id") == accepted else "Answer"
            parts.append(f"## {name} (score {answer.get('Score') or 0})\n\n{text}")
    facts = {
        "tags": "; ".join(tags_of(question.get("Tags") or "")),
        "score": question.get("Score") or "",
        "answers": str(len(answers)),
        "accepted": "yes" if any(a.get("Id") == accepted for a in answers) else "no",
        "date": question.get("CreationDate") or "",
        "licence": question.get("ContentLicense") or "",
    }
    return Converted("\n\n".join(p for p in parts if p), title or None, {k: v for k, v in facts.items() if v})
