r"""Lines of data: only LF ends one.

`str.splitlines` also cuts at U+2028, U+2029, U+0085, VT, FF and FS to RS, which may stand raw inside a JSON string (RFC 8259), a YAML
scalar or a program's output. JSON Lines and logs end a line with LF alone; a CR before it belongs to the line's end. Prose is another
matter: there U+2028 does end a line.
"""

from __future__ import annotations

RESULT_PREFIX = "HEADRACE_RESULT "
"""How the last line of a command's output begins under `--json-result`; one JSON object follows (small: it travels through XCom)."""


def data_lines(text: str) -> list[str]:
    r"""The lines of `text`, without their LF or CR LF; what follows the last LF is a line if it is not empty."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def last_line(text: str, otherwise: str = "") -> str:
    """The last line that holds more than white space, stripped: what a program said before it ended."""
    return text.strip().rpartition("\n")[2].strip() or otherwise
