"""LaTeX in running text: commands and their arguments, formulas, styles, accents, sections.

One pass over the text with the places of matching braces and environments known beforehand, so that no input costs more than linear
time times `DEPTH`; what is nested deeper keeps its words and loses its structure.
"""

from __future__ import annotations

import re
import unicodedata

from headrace_governance.text.formats.hollows import without_hollows
from headrace_governance.text.formats.latex.names import ACCENTS, CITATIONS, DROPPED, KEPT_ARGUMENT, STYLES, SYMBOLS
from headrace_governance.text.formats.latex.units import COMMANDS, is_number, written
from headrace_governance.text.formats.latex.verbatim import address
from headrace_governance.text.formats.scripts import lowered, raised
from headrace_governance.text.formats.tree import code_span

DEPTH = 60
STASH, ITEM = "\ue013", "\ue011"
_SPECIAL = re.compile(r"[\\{}$~]|-{2,3}|``|''|\n[ \t]*\n")
_NAME = re.compile(r"\\([A-Za-z@]{1,60})(\*?)")
_STRUCTURE = re.compile(r"\\(?:begin|end)\s{0,9}\{([^{}\\]{1,60})\}|\\.|[{}\[\]]", re.DOTALL)
_SWITCH = re.compile(r"\s{0,9}\\(bf|bfseries|it|itshape|em|sl|tt|ttfamily)(?![A-Za-z])\s?")
_LABEL = re.compile(r"\s?\\label\s?\{[^{}]{0,200}\}")
_STASHED = re.compile(f"{STASH}(\\d+){STASH}")
_SECTIONS = {"part": 2, "chapter": 2, "section": 2, "subsection": 3, "subsubsection": 4}


class Reader:
    """Renders ranges of the text; blocks are parted by blank lines, finished ones stand in the stash.

    Attributes:
        notes: footnotes so far.
        theorems: theorem-like environments and their titles.
        units: siunitx units that the document declares, and their symbols.
    """

    def __init__(self, text: str, stash: list[str], theorems: dict[str, str], units: dict[str, str] | None = None) -> None:
        self.text = text
        self.units = units or {}
        self.notes: list[str] = []
        self._stash = stash
        self.theorems = theorems
        self._chapters = "\\chapter" in text
        self._missing: dict[str, int] = {}
        self.closes: dict[int, int] = {}  # place of `{` → place of its `}`
        self.ends: dict[int, tuple[int, int]] = {}  # place of `\begin` → (start, end) of its `\end{...}`
        self._brackets: dict[int, int] = {}  # place of `[` → place of the first `]` in the same group
        waiting: list[list[int]] = [[]]
        braces: list[int] = []
        environments: list[tuple[str, int]] = []
        for found in _STRUCTURE.finditer(text):
            sign = found[0]
            if sign == "{":
                braces.append(found.start())
                waiting.append([])
            elif sign == "}":
                if braces:
                    self.closes[braces.pop()] = found.start()
                    waiting.pop()
            elif sign == "[":
                waiting[-1].append(found.start())
            elif sign == "]":
                self._brackets.update(dict.fromkeys(waiting[-1], found.start()))
                waiting[-1].clear()
            elif sign.startswith("\\begin"):
                environments.append((found[1], found.start()))
            elif found[1] is not None:
                # The nearest open environment of this name; what it left open inside stays open for good.
                for back in range(1, min(len(environments), 8) + 1):
                    if environments[-back][0] == found[1]:
                        self.ends[environments[-back][1]] = (found.start(), found.end())
                        del environments[-back:]
                        break

    # -- finished text -------------------------------------------------------------------------------------------

    def blocks(self, rendered: str) -> str:
        """Markdown of rendered text."""
        out = []
        for part in re.split(r"\n[ \t]*\n\s*", rendered):
            block = without_hollows(" ".join(part.split())).strip()
            if block:
                out.append(block)
        text = "\n\n".join(out)
        for _ in range(DEPTH):
            if STASH not in text:
                break
            text = _STASHED.sub(lambda m: self._stash[int(m[1])] if int(m[1]) < len(self._stash) else "", text)
        return text.replace(ITEM, "").replace(STASH, "").strip()

    def keep(self, text: str) -> str:
        """Put finished text aside, so that no later pass touches it."""
        self._stash.append(text)
        return f"{STASH}{len(self._stash) - 1}{STASH}"

    def block(self, text: str) -> str:
        """The same, as a block of its own."""
        return f"\n\n{self.keep(text)}\n\n" if text.strip() else ""

    def line(self, start: int, end: int, depth: int) -> str:
        """Finished text of a range, on one line."""
        return " ".join(self.blocks(self.render(start, end, depth)).split())

    def title(self, start: int, end: int) -> str:
        """What `\\title` says."""
        for found in re.finditer(r"\\title\*?(?![A-Za-z])", self.text[start:end]):
            at = self.optional(start + found.end())[1]
            group = self.group(at)
            if group is not None:
                return self.line(group[0], group[1], 1).replace("**", "")
        return ""

    # -- arguments -----------------------------------------------------------------------------------------------

    def group(self, at: int) -> tuple[int, int, int] | None:
        """(start, end) of an argument's content and where to go on, or None if there is none."""
        text = self.text
        stop = min(len(text), at + 200)
        while at < stop and text[at].isspace():
            at += 1
        if text.startswith("{", at) and at in self.closes:
            return at + 1, self.closes[at], self.closes[at] + 1
        if at < len(text) and text[at] == "\\":
            found = _NAME.match(text, at)
            return (at, found.end(), found.end()) if found else None
        return (at, at + 1, at + 1) if at < len(text) and text[at] not in "{}$&\n[" else None

    def optional(self, at: int) -> tuple[tuple[int, int] | None, int]:
        """Content of `[...]` if it stands here, and where to go on."""
        end = self._brackets.get(at, -1)
        if at < end < at + 2000:
            return (at + 1, end), end + 1
        return None, at

    def skip(self, at: int, arguments: int) -> int:
        """Behind so many arguments and the options between them."""
        for _ in range(4):
            at = self.optional(at)[1]
        for _ in range(arguments):
            group = self.group(at)
            if group is None:
                return at
            at = self.optional(group[2])[1]
        return at

    # -- walking -------------------------------------------------------------------------------------------------

    def render(self, start: int, end: int, depth: int) -> str:
        """Marked text of a range."""
        out: list[str] = []
        at, text = start, self.text
        while at < end and (found := _SPECIAL.search(text, at, end)) is not None:
            out.append(text[at : found.start()])
            sign, at = found[0], found.end()
            if sign == "\\":
                piece, at = self._command(found.start(), end, depth, out)
                out.append(piece)
            elif sign == "{":
                close = self.closes.get(found.start(), -1)
                if 0 <= close < end and depth < DEPTH:
                    out.append(self._styled_group(at, close, depth + 1))
                    at = close + 1
            elif sign == "$":
                piece, at = self._dollar(found.start(), end)
                out.append(piece)
            else:
                out.append({"~": " ", "--": "–", "---": "—", "``": "“", "''": "”", "}": ""}.get(sign, "\n\n"))
        out.append(text[at:end])
        return "".join(out)

    def _styled_group(self, start: int, end: int, depth: int) -> str:
        switch = _SWITCH.match(self.text, start, end)
        if switch is None:
            return self.render(start, end, depth)
        return self._styled(self.render(switch.end(), end, depth), STYLES[switch[1]])

    def _styled(self, inner: str, mark: str) -> str:
        core = inner.strip()
        if not core or "\n\n" in inner or ITEM in inner or (mark == "`" and "`" in core):
            return inner
        lead, tail = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
        if mark == "`":
            return f"{lead}{self.keep(f'`{self.blocks(core)}`')}{tail}"
        return f"{lead}{mark}{core}{mark}{tail}"

    def _dollar(self, at: int, end: int) -> tuple[str, int]:
        mark = "$$" if self.text.startswith("$$", at) else "$"
        start = at + len(mark)
        stop = self._find_dollar(start, end, mark)
        if stop < 0 or (mark == "$" and "\n\n" in self.text[start:stop]):
            return "$", at + 1
        return self.math(self.text[start:stop], mark, mark), stop + len(mark)

    def _find_dollar(self, at: int, end: int, mark: str) -> int:
        while (at := self.text.find(mark, at, end)) >= 0:
            run = 0
            while self.text[at - 1 - run] == "\\":
                run += 1
            if run % 2 == 0:
                return at
            at += 1
        return -1

    def math(self, formula: str, opening: str, closing: str) -> str:
        """A formula as it was written, without its label."""
        formula = _STASHED.sub(self._unwrapped, _LABEL.sub("", formula))
        lines = [line.strip() for line in formula.split("\n") if line.strip()]
        if not lines:
            return ""
        if opening in ("$", "\\("):
            return self.keep(f"{opening}{' '.join(lines)}{closing}")
        return self.block("\n".join([opening, *lines, closing]))

    def _unwrapped(self, found: re.Match[str]) -> str:
        """What was put aside inside a formula: an address or a word of code."""
        text = self._stash[int(found[1])] if int(found[1]) < len(self._stash) else ""
        return "" if "\n" in text else text.strip("`")

    def _command(self, at: int, end: int, depth: int, out: list[str]) -> tuple[str, int]:
        """What the command at `at` stands for, and where to go on."""
        text = self.text
        found = _NAME.match(text, at, end)
        if found is None:
            return self._symbol(at, end, depth)
        name, after = found[1], found.end()
        if name == "begin":
            return self.environment(at, end, depth)
        if name in _SECTIONS or name in ("paragraph", "subparagraph"):
            return self._section(name, after, depth)
        if name == "item":
            label, after = self.optional(after)
            shown = self.line(*label, depth + 1) if label and depth < DEPTH else ""
            return f"\n\n{ITEM}{f'**{shown}** ' if shown else ''}", after
        if name in CITATIONS:
            while out and out[-1] and out[-1][-1:] in (" ", "\n", "~") and "\n\n" not in out[-1][-3:]:
                out[-1] = out[-1][:-1]
            return "", self.skip(after, 1)
        if name in STYLES and depth < DEPTH:
            group = self.group(self.optional(after)[1])
            if group is not None and group[1] < end and text[group[0] - 1] == "{":
                return self._styled(self.render(group[0], group[1], depth + 1), STYLES[name]), group[2]
            return "", after
        if name == "verb" and after < end:
            close = text.find(text[after], after + 1, end)
            if 0 <= close - after < 1000:
                return self.keep(code_span(text[after + 1 : close])), close + 1
        if name in ("footnote", "footnotetext") and depth < DEPTH:
            group = self.group(self.optional(after)[1])
            if group is not None:
                note = self.line(group[0], group[1], depth + 1)
                if note:
                    self.notes.append(note)
                return (f"[^{len(self.notes)}]" if note else ""), group[2]
        if name in COMMANDS and (quantity := self._quantity(name, after, depth)) is not None:
            return quantity
        if name in KEPT_ARGUMENT and depth < DEPTH:
            return self._kept(name, after, depth)
        if name in ("title", "icmltitle"):
            return "", self.skip(after, 1)
        if name in ("abstract", "keywords") and (group := self.group(after)) is not None and depth < DEPTH and name == "abstract":
            return f"{self.block('## Abstract')}{self.render(group[0], group[1], depth + 1)}\n\n", group[2]
        if name in SYMBOLS:
            return SYMBOLS[name], self._after_name(after)
        if name in ACCENTS:
            return self._accent(name, after)
        if name in DROPPED:
            return "", self.skip(after, DROPPED[name])
        if name == "(" or name == "[":
            return "", after
        if text.startswith(("{", "["), after) and depth < DEPTH:
            return self._unknown(self.optional(after)[1], end, depth)
        return ("" if text[after : after + 1] in "{[" else " "), self.optional(self._after_name(after))[1]

    def _unknown(self, at: int, end: int, depth: int) -> tuple[str, int]:
        """Arguments of a command that nobody knows: all of them, one blank between two."""
        parts: list[str] = []
        while self.text.startswith("{", at) and at < (close := self.closes.get(at, -1)) < end:
            parts.append(self._styled_group(at + 1, close, depth + 1))
            at = close + 1
        return " ".join(p for p in parts if p), at

    def _quantity(self, name: str, after: int, depth: int) -> tuple[str, int] | None:
        """A number with its unit, or None if the arguments are not there."""
        before, at = self._option(after)
        count = len(COMMANDS[name].split())
        if name == "unit" and (first := self.group(at)) is not None and is_number(self.text[first[0] : first[1]]):
            name, count = "qty", 2  # SIunits: `\unit{5}{\kilo\gram}`
        if not (name in ("numprint", "np") or (name in ("unit", "unitfrac", "nicefrac") and is_number(before))):
            before = ""
        arguments: list[str] = []
        for number in range(count):
            if number:
                given, at = self._option(at)
                before = before or given
            group = self.group(at)
            # A physicist's `\qty(...)` is another command.
            if group is None or (self.text[group[0] - 1] != "{" and not (number and self.text[group[0]] == "\\")):
                return None
            arguments.append(self.text[group[0] : group[1]])
            at = group[2]
        return written(name, arguments, before, self.units), at

    def _option(self, at: int) -> tuple[str, int]:
        place, at = self.optional(at)
        return (self.text[place[0] : place[1]] if place else ""), at

    def _after_name(self, at: int) -> int:
        """Blanks after a command's name end the name and are not text; an empty group the same."""
        if self.text.startswith("{}", at):
            return at + 2
        return at + 1 if self.text.startswith(" ", at) else at

    def _symbol(self, at: int, end: int, depth: int) -> tuple[str, int]:
        c = self.text[at + 1 : at + 2]
        if c in ("(", "["):
            closing = "\\)" if c == "(" else "\\]"
            stop = -1 if at >= self._missing.get(closing, end + 1) else self.text.find(closing, at + 2, end)
            if stop >= 0:
                return self.math(self.text[at + 2 : stop], f"\\{c}", closing), stop + 2
            self._missing[closing] = min(at, self._missing.get(closing, at))
            return "", at + 2
        if c == "\\":
            after = at + 2 + self.text.startswith("*", at + 2)
            return " ", self.optional(after)[1]
        if c in ACCENTS and c:
            return self._accent(c, at + 2)
        return {"": "", " ": " ", ",": " ", ";": " ", ":": " ", "\n": " ", "-": "", "/": "", "!": "", "@": "", ">": " "}.get(c, c), at + 2

    def _accent(self, name: str, after: int) -> tuple[str, int]:
        group = self.group(after)
        if group is None:
            return "", after
        base = self.text[group[0] : group[1]].strip()
        base = {"\\i": "i", "\\j": "j"}.get(base, base)
        if not base or base[0] in "\\{$":
            return "", after
        return unicodedata.normalize("NFC", base[0] + ACCENTS[name]) + base[1:], group[2]

    def _kept(self, name: str, after: int, depth: int) -> tuple[str, int]:
        at = self.skip(after, 0)
        for number in range(1, KEPT_ARGUMENT[name] + 1):
            group = self.group(at)
            if group is None:
                return "", at
            at = group[2] if number == KEPT_ARGUMENT[name] else self.skip(group[2], 0)
        start, end = group[0], group[1]  # type: ignore[index]
        if name in ("url", "nolinkurl"):
            return self.keep(address(self.text[start:end])), at
        if name == "ensuremath":
            return self.math(self.text[start:end], "$", "$"), at
        if name == "texorpdfstring":
            at = self.skip(at, 1)
        inner = self.render(start, end, depth + 1)
        if name in ("textsuperscript", "textsubscript"):
            inner = inner.strip()
            return (raised(inner) if name == "textsuperscript" else lowered(inner)), at
        return (f"“{inner}”" if name == "enquote" and inner.strip() else inner), at

    def _section(self, name: str, after: int, depth: int) -> tuple[str, int]:
        group = self.group(self.optional(after)[1])
        if group is None or depth >= DEPTH:
            return "\n\n", after
        heading = self.line(group[0], group[1], depth + 1)
        if not heading:
            return "\n\n", group[2]
        level = _SECTIONS.get(name)
        if level is None:
            return f"\n\n**{heading.strip('*').rstrip('.')}.** ", group[2]
        lower = self._chapters and name not in ("part", "chapter")
        return self.block("#" * (level + lower) + " " + heading.replace("**", "")), group[2]

    def environment(self, at: int, end: int, depth: int) -> tuple[str, int]:
        """What the environment that begins at `at` stands for, and where to go on; its content, unless a subclass knows more."""
        return "\n\n", at + len("\\begin")
