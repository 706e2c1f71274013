"""LaTeX → Markdown. Formulas stay as they were written; sections, lists, tables, captions, theorems and code become Markdown.

Cut: bibliography, citations and cross references,
pictures, authors and addresses. Unknown commands vanish and leave their arguments. Speed: about 4 MB/s a core.
"""

from __future__ import annotations

import re
from dataclasses import replace

from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.latex.encoding import decode_latex
from headrace_governance.text.formats.latex.macros import expanded, taken_out
from headrace_governance.text.formats.latex.names import DROPPED_ENVIRONMENTS, FLOATS, MATH_ENVIRONMENTS, TABULARS, THEOREMS
from headrace_governance.text.formats.latex.running_text import DEPTH, ITEM, STASH, Reader
from headrace_governance.text.formats.latex.source import assembled, read_archive
from headrace_governance.text.formats.latex.units import declared_units
from headrace_governance.text.formats.latex.verbatim import VERBATIM, address, code_spans, uncommented
from headrace_governance.text.formats.tree import code_span, fenced, pipe_table

_CODE_OPTIONS = re.compile(r"[ \t]{0,9}(?:\[[^\[\]]{0,500}\])?(?:\{([^{}]{0,40})\})?")
_BEGIN = re.compile(r"\\begin\s{0,9}\{([^{}\\]{1,60})\}")
_INNER = re.compile(r"\\begin\{([a-z]{1,20}\*?)\}")
_CELLS = re.compile(r"\\\\|\\begin|\\tabularnewline|\\.|[{&]", re.DOTALL)
_SENTINELS = re.compile("[\ue000-\ue0ff]")
_CAPTION = re.compile(r"\\(?:caption|captionof\s?\{[^{}]{0,30}\}|tablecaption)\*?(?![A-Za-z])")
_IFFALSE, _FI = re.compile(r"\\iffalse(?![A-Za-z])"), re.compile(r"\\fi(?![A-Za-z])")


def convert_latex(body: bytes, media: str) -> Converted:
    """Text of a paper: one `.tex` file, or a tar archive of its files.

    Raises:
        Malformed: no LaTeX document in it.
    """
    if media == "application/x-eprint-tar":
        files = read_archive(body)
        source = assembled({name: file.text for name, file in files.items()})
        doubts = [file for file in files.values() if file.doubtful]
    else:
        only = decode_latex(body)
        source, doubts = uncommented(only.text), [only] if only.doubtful else []
    if "\\" not in source:
        raise Malformed("no LaTeX in it")
    converted = latex_text(source)
    if doubts:
        worst = max(doubts, key=lambda d: d.replaced)
        converted.fields |= replace(worst, replaced=sum(d.replaced for d in doubts)).doubt()
    return converted


def _without_conditionals(source: str) -> str:
    """The source without what stands from an `\\iffalse` to the next `\\fi`; one that has no end stays."""
    parts: list[str] = []
    at = 0
    while (begin := _IFFALSE.search(source, at)) is not None and (end := _FI.search(source, begin.end())) is not None:
        parts.append(source[at : begin.start()])
        at = end.end()
    return "".join([*parts, source[at:]])


def latex_text(source: str) -> Converted:
    """Markdown of LaTeX without comments; never fails on what people write."""
    stash: list[str] = []
    source = _stashed_verbatim(_SENTINELS.sub("", source), stash)
    if "\\iffalse" in source and "\\fi" in source:
        source = _without_conditionals(source)
    source, known = taken_out(source)
    source = expanded(source, known.macros)
    reader = _Reader(source, stash, {**THEOREMS, **known.theorems}, declared_units(source))
    start, end = 0, len(source)
    begin = source.find("\\begin{document}")
    if begin >= 0:
        start = begin + len("\\begin{document}")
        stop = source.find("\\end{document}", start)
        end = stop if stop >= 0 else end
    title = reader.title(0, end)
    text = reader.blocks(reader.render(start, end, 0))
    text += "".join(f"\n\n[^{n}]: {note}" for n, note in enumerate(reader.notes, start=1))
    return Converted(f"# {title}\n\n{text}" if title and text else text, title or None)


def _stashed_verbatim(source: str, stash: list[str]) -> str:
    """The source with everything that is read as it stands put aside: blocks and words of code, addresses."""
    out: list[str] = []
    at = 0
    for start, end, kind, content in code_spans(source):
        out.append(source[at:start])
        at = end
        if kind in ("code", "address"):
            stash.append(code_span(content) if kind == "code" else address(content))
            out.append(f"{STASH}{len(stash) - 1}{STASH}")
        elif kind != "href":
            stash.append(_code_block(kind, content))
            out.append(f"\n\n{STASH}{len(stash) - 1}{STASH}\n\n")
    out.append(source[at:])
    return "".join(out)


def _code_block(name: str, code: str) -> str:
    options = _CODE_OPTIONS.match(code)
    language = re.search(r"language=\{?([\w+#-]{1,30})", options[0]) if options else None
    named = language[1].lower() if language else (options[1] or "") if options and name.startswith("minted") else ""
    code = code[options.end() :] if options and name.rstrip("*") != "verbatim" else code
    return fenced(code.strip("\n").rstrip(), re.sub(r"[^\w+#-]", "", named)) if code.strip() else ""


class _Reader(Reader):
    """Environments: floats, lists, tables, theorems, quotations."""

    def environment(self, at: int, end: int, depth: int) -> tuple[str, int]:
        """What the environment that begins at `at` stands for, and where to go on."""
        found = _BEGIN.match(self.text, at, end)
        place = self.ends.get(at)
        if found is None:
            return "", at + len("\\begin")
        if place is None or place[1] > end or depth >= DEPTH:
            return "\n\n", found.end()
        name, start, stop, after = found[1], found.end(), place[0], place[1]
        plain = name.rstrip("*")
        if plain in MATH_ENVIRONMENTS:
            return self.math(self.text[start:stop], f"\\begin{{{name}}}", f"\\end{{{name}}}"), after
        if plain in DROPPED_ENVIRONMENTS:
            return "\n\n", after
        if name in TABULARS:
            return self._tabular(self.skip(start, TABULARS[name]), stop, depth + 1), after
        if plain in FLOATS:
            return self._float(FLOATS[plain], start, stop, depth + 1), after
        if plain in ("itemize", "enumerate", "description", "compactitem", "compactenum", "inparaenum", "list", "trivlist"):
            return self._list(plain, self.optional(start)[1], stop, depth + 1), after
        if plain in VERBATIM:
            return self.block(fenced(self.text[start:stop].strip("\n"))), after
        inner_start = self.optional(start)[1]
        if plain in self.theorems:
            note = self.text[start + 1 : inner_start - 1] if inner_start > start else ""
            shown = f" ({self.line(start + 1, inner_start - 1, depth + 1)})" if note else ""
            return f"\n\n**{self.theorems[plain]}{shown}.** {self.render(inner_start, stop, depth + 1).strip()}\n\n", after
        if plain == "abstract":
            return f"{self.block('## Abstract')}{self.render(inner_start, stop, depth + 1)}\n\n", after
        if plain in ("quote", "quotation", "displayquote", "verse"):
            inner = self.blocks(self.render(inner_start, stop, depth + 1))
            return self.block("\n".join(f"> {line}".rstrip() for line in inner.split("\n")) if inner else ""), after
        if plain in ("minipage", "multicols", "adjustbox", "tcolorbox", "spacing", "subfigure"):
            inner_start = self.skip(inner_start, 1)
        return f"\n\n{self.render(inner_start, stop, depth + 1)}\n\n", after

    def _list(self, name: str, start: int, end: int, depth: int) -> str:
        parts = self.render(start, end, depth).split(ITEM)
        lines: list[str] = []
        for part in parts[1:]:
            body = self.blocks(part)
            if body:
                mark = f"{len(lines) + 1}. " if "enum" in name else "- "
                lines.append(mark + re.sub(r"\n+", "\n" + " " * len(mark), body))
        return f"{parts[0]}{self.block(chr(10).join(lines))}"

    def _float(self, kind: str, start: int, end: int, depth: int) -> str:
        """Captions, and the tables of a float; its pictures go."""
        out: list[str] = []
        at = start
        for found in _CAPTION.finditer(self.text, start, end):
            if found.start() < at:
                continue
            group = self.group(self.optional(found.end())[1])
            if group is not None and group[1] <= end and (caption := self.line(group[0], group[1], depth)):
                out.append(self.block(f"**{kind}.** {caption}"))
                at = group[2]
        for found in _INNER.finditer(self.text, start, end):
            place = self.ends.get(found.start())
            if place is not None and place[1] <= end and found.start() >= at:
                if found[1] in TABULARS:
                    out.append(self._tabular(self.skip(found.end(), TABULARS[found[1]]), place[0], depth))
                    at = place[1]
                elif found[1] in ("algorithmic", "algorithmicx"):
                    out.append(self.block(fenced(self.text[found.end() : place[0]].strip("\n"))))
                    at = place[1]
        return "".join(out)

    def _tabular(self, start: int, end: int, depth: int) -> str:
        rows: list[list[str]] = [[]]
        at = cell = start

        def close(stop: int) -> None:
            source = self.text[cell:stop]
            span = re.match(r"\s{0,99}\\multicolumn\s?\{(\d{1,2})\}", source)
            text = self.line(cell, stop, depth)
            rows[-1].extend([text] + [""] * (min(int(span[1]), 60) - 1 if span else 0))

        while (found := _CELLS.search(self.text, at, end)) is not None:
            at = found.end()
            if found[0] == "{":
                at = min(self.closes.get(found.start(), at), end)
            elif found[0] == "\\begin":
                at = min(self.ends.get(found.start(), (at, at))[1], end)
            elif found[0] == "&":
                close(found.start())
                cell = at
            elif found[0] in ("\\\\", "\\tabularnewline"):
                close(found.start())
                rows.append([])
                at = cell = self.optional(at + self.text.startswith("*", at))[1]
        close(end)
        rows = [r for r in rows if any(r)]
        if not rows:
            return ""
        if max(map(len, rows)) == 1:
            return "\n\n" + "\n\n".join(self.keep(r[0]) for r in rows) + "\n\n"
        return self.block(pipe_table(rows))
