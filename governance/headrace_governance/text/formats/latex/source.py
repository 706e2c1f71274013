"""From the files of a paper to one LaTeX text: the main file found, `\\input` followed inside the archive, comments cut.

Every step is linear in what it writes, and what is written is bounded: a file that includes itself ends at `MAX_DEPTH`, one that is
included again and again at `MAX_CHARACTERS`.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile

from headrace_governance.encoding.decode import Decoded
from headrace_governance.text.formats.converted import Malformed
from headrace_governance.text.formats.latex.encoding import declared_encoding, decode_latex
from headrace_governance.text.formats.latex.verbatim import uncommented

MAX_DEPTH = 10
MAX_CHARACTERS = 16_000_000
_INPUT = re.compile(
    r"\\(?:input|include|subfile|subfileinclude)(?:\s{0,9}\{\s{0,9}([^{}\s]{1,300})\s{0,9}\}|[ \t]{1,9}([^\s{}\\]{1,300}))"
    r"|\\(?:sub)?import\*?\{([^{}]{0,300})\}\{([^{}]{1,300})\}"
)
_CLASS = re.compile(r"\\document(?:class|style)\b")
_MAIN_NAMES = ("main", "ms", "paper", "article", "manuscript", "root")


def read_archive(body: bytes) -> dict[str, Decoded]:
    """Name → text of the files of a tar archive; those that declare no encoding are in that of the document they belong to.

    Raises:
        Malformed: no tar archive.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as archive:
            for info in archive:
                content = archive.extractfile(info) if info.isfile() else None
                if content is not None:
                    files[posixpath.normpath(info.name)] = content.read()
    except (tarfile.TarError, ValueError, EOFError) as exc:
        raise Malformed(str(exc)) from exc
    declared = {name: declared_encoding(data) for name, data in files.items() if b"\\document" in data}
    main = next((declared[name] for name in sorted(declared, key=lambda n: (n.count("/"), n)) if declared[name]), None)
    return {name: decode_latex(data, main) for name, data in files.items()}


def assembled(files: dict[str, str]) -> str:
    """The whole paper as one text, without comments.

    Raises:
        Malformed: no file is a LaTeX document.
    """
    clean = {name: uncommented(text) for name, text in files.items()}
    main = _main_file(clean)
    styles = "\n".join(text for name, text in clean.items() if name.lower().endswith(".sty"))
    budget = [MAX_CHARACTERS]
    return styles + "\n" + _with_inputs(main, clean, budget, 0)


def _main_file(files: dict[str, str]) -> str:
    candidates = [name for name, text in files.items() if _CLASS.search(text) and not name.lower().endswith((".sty", ".cls"))]
    if not candidates:
        tex = [n for n, text in files.items() if n.lower().endswith((".tex", ".ltx", ".latex")) or "\\begin{document}" in text]
        if len(tex) != 1:
            raise Malformed(f"no main file among {len(files)}")
        candidates = tex

    def rank(name: str) -> tuple[bool, int, bool, int, str]:
        text = files[name]
        stem = posixpath.splitext(posixpath.basename(name))[0].lower()
        standalone = "{standalone}" in text or "{subfiles}" in text
        return ("\\begin{document}" not in text or standalone, name.count("/"), stem not in _MAIN_NAMES, -len(text), name)

    return min(candidates, key=rank)


def _with_inputs(name: str, files: dict[str, str], budget: list[int], depth: int) -> str:
    text = files[name]
    end = text.find("\\endinput")
    text = text if end < 0 else text[:end]
    folder = posixpath.dirname(name)

    def included(found: re.Match[str]) -> str:
        path = found[1] or found[2] or posixpath.join(found[3] or "", found[4] or "")
        target = _find(path, folder, files)
        if target is None or depth >= MAX_DEPTH or len(files[target]) > budget[0]:
            return ""
        budget[0] -= len(files[target])
        inner = _with_inputs(target, files, budget, depth + 1)
        # A subfile brings a preamble of its own.
        body = re.search(r"\\begin\{document\}", inner)
        return inner[body.end() :].partition("\\end{document}")[0] if body else inner

    return _INPUT.sub(included, text)


def _find(path: str, folder: str, files: dict[str, str]) -> str | None:
    for base in ("", folder):
        whole = posixpath.normpath(posixpath.join(base, path))
        for name in (whole, whole + ".tex"):
            if name in files:
                return name
    return None
