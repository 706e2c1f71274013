"""Text that a page shows but marks as something else: buttons that carry a heading, text hidden from screen readers beside its twin.

- A *button* is a control, and left out, unless its text is that of what holds it: all of a heading or `summary` (WAI-ARIA's accordion
  pattern), one that opens what a page folds (`aria-expanded`), or a word in the middle of a sentence.
- What is *hidden from screen readers* (`aria-hidden`) is shown all the same. It is kept where a text for screen readers says the same,
  which then goes (a price), or where nothing else does; icons, and what stands beside it a second time, go.
- *Numbers of lines* go where they are numbers and stand in code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.attributes import ARIA_HIDDEN, CODE_CLASS, EXPANDS, HIDDEN, NUMBER_CLASS, OFFSCREEN, ROLE_HEADING
from headrace_governance.text.html.tags import BLOCK, INLINE_CODE, PROPERTIES, number
from headrace_governance.text.html.tokens import N_FIRST, N_FLAGS, N_LAST, TEXT, Tokens

_BUTTON, _SUMMARY, _DT, _LEGEND, _CAPTION, _H1, _H6, _PRE, _TD, _TH, _A, _SUP, _SUB = (
    number(n) for n in "button summary dt legend caption h1 h6 pre td th a sup sub".split()
)
_TITLES = frozenset((*range(_H1, _H6 + 1), _SUMMARY, _DT, _LEGEND, _CAPTION))
_SENTENCES = frozenset(number(n) for n in "p li dd td blockquote figcaption".split())
_OPENS = re.compile(rb"accordion|collaps|faq|question|disclosure|expander|toggle-?title", re.IGNORECASE)
_MENU = re.compile(rb"menu|nav|dropdown|share|sharing|search|hamburger|burger|copy|clipboard|close|more|filter|sort|lang", re.IGNORECASE)
_ICON = re.compile(
    rb"icon|glyph|symbol|(?:^|[\s_-])(?:fa[bsrl]?|fa-[a-z-]+|material|arrow|caret|chevron|sep|separator|divider|bullet|badge)(?:$|[\s_-])",
    re.IGNORECASE,
)
LONG = 400
"""Letters from which a button is not a control, whatever it is."""
TITLE = 14
"""Letters of a button that opens something, from which its text is a title, not "Show more"."""
SENTENCE = 40
"""Letters around a button that make a sentence of it."""
UP = 8
"""Elements around a node that are looked at."""
_COUNTED = 400


def settle(tokens: Tokens, out: Any, readers: Sequence[int], is_dropped: Callable[[bytes], int]) -> None:
    """Say in `out` which buttons, line numbers, hidden texts and texts for screen readers (`readers`) are left out.

    Clears ARIA_HIDDEN of the nodes that are text after all.
    """
    Settling(tokens, out, is_dropped).all(readers)


class Settling:
    """The nodes of one page, with counts of what they show."""

    def __init__(self, tokens: Tokens, out: Any, is_dropped: Callable[[bytes], int]) -> None:
        self.tokens, self.nodes, self.out, self.is_dropped = tokens, tokens.nodes, out, is_dropped
        self.counts = _counts(tokens.data, tokens.events)

    def all(self, readers: Sequence[int]) -> None:
        """Everything, in the order in which it depends on each other."""
        flags = self.nodes[:, N_FLAGS]
        self._numbers(np.flatnonzero(flags & NUMBER_CLASS).tolist())
        self._buttons(np.flatnonzero(self.nodes[:, 0] == _BUTTON).tolist())
        offscreen = np.flatnonzero((flags & OFFSCREEN != 0) & (flags & HIDDEN == 0)).tolist()
        by_parent: dict[int, list[int]] = {}
        for k in {*readers, *offscreen}:
            by_parent.setdefault(int(self.nodes[k, 1]), []).append(k)
        self._hidden(np.flatnonzero((flags & ARIA_HIDDEN != 0) & (flags & HIDDEN == 0)).tolist(), by_parent)
        for parent, twins in by_parent.items():
            if self.nodes[parent, 0] in (_TD, _TH) and self._letters(parent) == sum(map(self._letters, twins)):
                for k in twins:  # a cell that shows a picture says in words what it means
                    self.out[k] = False

    def _count(self, k: int, column: int) -> int:
        return int(self.counts[self.nodes[k, N_LAST], column] - self.counts[self.nodes[k, N_FIRST], column])

    def _letters(self, k: int) -> int:
        return self._count(k, 0)

    def _class(self, k: int) -> bytes:
        a, b = int(self.nodes[k, 2]), int(self.nodes[k, 3])
        return self.tokens.source[a : min(b, a + 200)]

    def _around(self, k: int) -> list[int]:
        found: list[int] = []
        up = int(self.nodes[k, 1])
        while up > 0 and len(found) < UP:
            found.append(up)
            up = int(self.nodes[up, 1])
        return found

    def _in_code(self, k: int) -> bool:
        return any(
            self.nodes[up, 0] == _PRE or PROPERTIES[self.nodes[up, 0]] & INLINE_CODE or self.nodes[up, N_FLAGS] & CODE_CLASS
            for up in self._around(k)
        )

    # -- numbers of lines ------------------------------------------------------------------------------------------

    def _numbers(self, nodes: list[int]) -> None:
        for k in nodes:
            letters, digits = self._letters(k), self._count(k, 1)
            if letters == digits and self._count(k, 2) <= letters + 8 and self._in_code(k):
                self.out[k] = True

    # -- buttons -----------------------------------------------------------------------------------------------------

    def _buttons(self, buttons: list[int]) -> None:
        titles: dict[int, int] = {}  # letters of all buttons of a title
        title_of: dict[int, int] = {}
        for k in buttons:
            title = next((up for up in self._around(k) if self._is_title(up)), 0)
            if title:
                title_of[k] = title
                titles[title] = titles.get(title, 0) + self._letters(k)
        named: set[int] = set()
        for k in buttons:
            letters = self._letters(k)
            title = title_of.get(k, 0)
            if not letters:
                self.out[k] = True
            elif title:
                # The title's text, unless it has one beside the button, or an earlier button is it.
                self.out[k] = title in named or self._letters(title) > titles[title]
                named.add(title)
            else:
                self.out[k] = not (letters > LONG or self._holds_heading(k) or self._opens(k, letters) or self._in_sentence(k, letters))

    def _is_title(self, k: int) -> bool:
        return int(self.nodes[k, 0]) in _TITLES or bool(self.nodes[k, N_FLAGS] & ROLE_HEADING)

    def _holds_heading(self, k: int) -> bool:
        inside = k + 1
        while inside < len(self.nodes) and inside < k + 20 and self.nodes[inside, N_FIRST] < self.nodes[k, N_LAST]:
            if _H1 <= self.nodes[inside, 0] <= _H6:
                return True
            inside += 1
        return False

    def _opens(self, k: int, letters: int) -> bool:
        cls = self._class(k)
        if _OPENS.search(cls) or (_OPENS.search(self._class(int(self.nodes[k, 1]))) and self.nodes[k, N_FLAGS] & EXPANDS):
            return True
        return bool(self.nodes[k, N_FLAGS] & EXPANDS and letters >= TITLE and not _MENU.search(cls))

    def _in_sentence(self, k: int, letters: int) -> bool:
        block = next((up for up in self._around(k) if PROPERTIES[self.nodes[up, 0]] & BLOCK), 0)
        if int(self.nodes[block, 0]) not in _SENTENCES or _MENU.search(self._class(k)):
            return False
        before = int(self.counts[self.nodes[k, N_FIRST], 0] - self.counts[self.nodes[block, N_FIRST], 0])
        after = int(self.counts[self.nodes[block, N_LAST], 2] - self.counts[self.nodes[k, N_LAST], 2])
        return before >= 3 and after > 0 and self._letters(block) - letters >= min(SENTENCE, 3 * letters)

    # -- hidden from screen readers ----------------------------------------------------------------------------------

    def _hidden(self, nodes: list[int], by_parent: dict[int, list[int]]) -> None:
        end = -1
        for k in nodes:
            if self.nodes[k, N_FIRST] < end:
                continue  # inside of the one before
            end = int(self.nodes[k, N_LAST])
            twins = [t for t in by_parent.get(int(self.nodes[k, 1]), ()) if self._letters(t) and self._beside(k, t)]
            block = bool(PROPERTIES[self.nodes[k, 0]] & BLOCK)
            if self._shows(k, twins, block):
                self.nodes[k, N_FLAGS] &= ~ARIA_HIDDEN
                self.out[k] = not block and self.is_dropped(self._class(k)) != 0
                end = int(self.nodes[k, N_FIRST])
            elif twins and self._count(k, 2) and (not self._letters(k) or self._is_drawn(k, twins)):
                for twin in twins:  # stars, and in words how many; a price
                    self.out[twin] = False

    def _beside(self, k: int, t: int) -> bool:
        """Whether one of two elements follows the other, but for white space."""
        first, second = (k, t) if k < t else (t, k)
        begin, end = int(self.nodes[first, N_LAST]), int(self.nodes[second, N_FIRST])
        return 0 < end - begin <= 2 and not self.counts[end, 2] - self.counts[begin, 2]

    def _shows(self, k: int, twins: list[int], block: bool) -> bool:
        """Whether a node is text although it is hidden from screen readers."""
        if not self._letters(k) or (_ICON.search(self._class(k)) and not twins):
            return False
        if twins:
            return not self._is_drawn(k, twins)
        if block or self.nodes[k, 0] == _A or self._in_code(k):
            return False
        return self._letters(k) == self._letters(int(self.nodes[k, 1])) or not self._repeated(k)

    def _is_drawn(self, k: int, twins: list[int]) -> bool:
        """Whether part of a number is drawn raised or lowered without being a power, as the text for screen readers says: 5⁹⁹ for 5.99."""
        tags = self.nodes[k + 1 : k + 20]
        inside = tags[tags[:, N_FIRST] < self.nodes[k, N_LAST], 0].tolist()
        digits = self._count(k, 1)
        return digits > 0 and any(t in (_SUP, _SUB) for t in inside) and any(self._count(t, 1) == digits for t in twins)

    def _repeated(self, k: int) -> bool:
        """Whether an element beside this one says the same."""
        own = self._words(k)
        nodes, last = self.nodes, len(self.nodes)
        beside = k + 1
        while beside < last and beside < k + 20 and nodes[beside, N_FIRST] < nodes[k, N_LAST]:
            beside += 1
        if beside < last and nodes[beside, 1] == nodes[k, 1] and self._words(beside) == own:
            return True
        return any(nodes[j, 1] == nodes[k, 1] and self._words(j) == own for j in range(max(1, k - 4), k))

    def _words(self, k: int) -> bytes:
        a, b = int(self.nodes[k, N_FIRST]), min(int(self.nodes[k, N_LAST]), int(self.nodes[k, N_FIRST]) + 40)
        source = self.tokens.source
        texts = [source[x[2] : min(x[3], x[2] + 300)] for x in self.tokens.events[a:b].tolist() if x[0] == TEXT]
        return b"".join(b"".join(texts).split())


@njit(cache=True)
def _counts(data: Any, events: Any) -> Any:
    """Before each event: letters and digits, digits, and visible characters (in bytes; of a text 400 at most)."""
    counts = np.zeros((len(events) + 1, 3), dtype=np.int64)
    for x in range(len(events)):
        letters = digits = seen = 0
        if events[x, 0] == TEXT:
            i = events[x, 2]
            end = min(events[x, 3], i + _COUNTED)
            while i < end:
                c = data[i]
                if c == 38:  # a character reference stands for one character that is not a letter, as most do
                    seen += 1
                    for k in range(i + 1, min(end, i + 10)):
                        if data[k] == 59:
                            i = k
                            break
                elif 48 <= c <= 57:
                    letters += 1
                    digits += 1
                    seen += 1
                elif 65 <= c <= 90 or 97 <= c <= 122:
                    letters += 1
                    seen += 1
                elif c >= 0xC3 and c not in (0xE2, 0xEE, 0xEF):  # of two bytes 1, of more 2; not symbols and fonts' own characters
                    letters += 1 if c < 0xE0 else 2
                    seen += 1
                elif c > 32 and c != 0xEE and c != 0xEF and not 0x80 <= c < 0xC0:
                    seen += 1
                i += 1
        counts[x + 1, 0] = counts[x, 0] + letters
        counts[x + 1, 1] = counts[x, 1] + digits
        counts[x + 1, 2] = counts[x, 2] + seen
    return counts
