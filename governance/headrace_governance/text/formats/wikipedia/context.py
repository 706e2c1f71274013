"""Where a template of wikitext stands: in a sentence, alone in its lines, or behind a word as notes do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace_governance.text.formats.wikipedia.templates import normal

_SENTENCE_ENDS = ".,;:!?…”»)]。！？"


def in_sentence(nodes: Sequence[Any], at: int, elsewhere: set[str], *, nested: bool) -> bool:
    """Whether text stands in the same line, before or after, or all of this is a cell, a link or another template's argument.

    Args:
        nodes: what the parser found, the template among it.
        at: its place there.
        elsewhere: namespaces whose links print nothing here (files, categories).
        nested: these are not the page's own nodes, but those of something in it.
    """
    for way in (range(at - 1, -1, -1), range(at + 1, len(nodes))):
        for n in way:
            node = nodes[n]
            kind = type(node).__name__
            if kind == "Text":
                value = str(node.value)
                line = value.rpartition("\n")[2] if n < at else value.partition("\n")[0]
                if any(c.isalnum() for c in line):
                    return True
                if "\n" in value:
                    break
            elif kind == "Tag":
                tag = str(node.tag).strip().casefold()
                if tag in ("li", "dd", "dt", "b", "i", "code", "math", "sub", "sup", "span", "small"):
                    return True
                if tag not in ("br", "ref", "nowiki"):
                    break
            elif kind == "Wikilink":
                if normal(str(node.title).partition(":")[0]) not in elsewhere:
                    return True
            elif kind in ("ExternalLink", "HTMLEntity"):
                return True
            elif kind != "Template":
                break
        else:
            if nested and not any("\n" in str(x.value).strip() for x in nodes if type(x).__name__ == "Text"):
                return True
    return False


def is_note(nodes: Sequence[Any], at: int) -> bool:
    """Whether it hangs on a word's or a sentence's end, as references do: nothing before it, a blank or the end behind it."""
    before = str(nodes[at - 1].value)[-1:] if at and type(nodes[at - 1]).__name__ == "Text" else ""
    after = str(nodes[at + 1].value)[:1] if at + 1 < len(nodes) and type(nodes[at + 1]).__name__ == "Text" else ""
    if before in ("。", "！", "？"):
        return True
    hangs = before != "" and (before in _SENTENCE_ENDS or (before.isalpha() and before < "\u2e80"))
    return hangs and not after.isalnum()
