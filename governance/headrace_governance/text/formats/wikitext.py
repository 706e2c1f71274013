"""Wikitext → Markdown: a page of a MediaWiki export, parsed by mwparserfromhell.

Kept: headings, paragraphs, lists, bold and italic, the words of links, tables of data as pipe tables, `<math>` as `$...$`, code in
fences, quotations, poems. Removed: references, files, categories, boxes, navigation, templates that are not listed as prose
(`wikitext.yaml`), and sections of references and links, by their names in the page's language. Sections left without text go too.

Speed: about 2.4 MB of wikitext/s a core on English articles, half of it mwparserfromhell's.
"""

from __future__ import annotations

import html
import re
from typing import Any

from headrace_governance.importers.containers import local_name, parse_xml
from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.wikitext_lines import BREAK, HEADING, ITEM, STASH, finish
from headrace_governance.text.formats.wikitext_prepare import prepared
from headrace_governance.text.formats.wikitext_rules import WikitextRules

_SENTINELS = re.compile("[\ue000-\ue0ff]")
_MAGIC = re.compile(r"__[A-Z]{3,30}__")
_VARIANT = re.compile(r"-\{([^{}]{0,2000})\}-")
"""Chinese script variants: `-{zh-hans:计算机;zh-hant:電腦}-`."""
_INTERLANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,10})?|simple")
_CUT_TAGS = frozenset(
    (
        "ref references gallery timeline imagemap score graph mapframe maplink templatestyles hiero indicator inputbox categorytree "
        "includeonly ce section charinsert rss"
    ).split()
)
_SCRIPT = {"sup": str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ"), "sub": str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")}
_LEFT_OVER = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|</?(?:ref|li|small|div|span|center|blockquote|includeonly|noinclude|onlyinclude)\b[^<>]{0,200}>"
)
"""Markup that its author did not close, which the parser therefore leaves as text."""
_ONLY_ATTRIBUTES = re.compile(r"(?:[\w-]{1,30}\s?=\s?(?:\"[^\"]{0,200}\"|[^\s\"]{1,100})\s?){1,10}")
"""A cell `| colspan="5" {{Yes}}`: the bar between attributes and content is inside the template."""
_PLACE = re.compile(r"\{([^{}]{1,80})\}")


def convert_page(body: bytes, rules: WikitextRules) -> Converted:
    """The one page of an export.

    Raises:
        Malformed: no export of a page.
    """
    try:
        root = parse_xml(body)
    except ValueError as exc:
        raise Malformed(str(exc)) from exc
    values: dict[str, str] = {}
    names: dict[str, list[str]] = {"6": list(rules.file_namespaces), "14": list(rules.category_namespaces)}
    for e in root.iter():
        name = local_name(e)
        if name == "namespace" and e.get("key") in names:
            names[e.get("key")].append(e.text or "")
        elif name in ("title", "text", "timestamp"):
            values[name] = e.text or ""  # a page with history: the last revision counts
        elif name == "id":
            parent = local_name(e.getparent())
            if parent in ("page", "revision"):
                values[f"{parent}_id"] = e.text or ""
    if "text" not in values:
        raise Malformed("no text element")
    title = values.get("title", "").strip()
    language = root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
    text = wikitext(values["text"], rules, language=language, title=title, files=names["6"], categories=names["14"])
    facts = {"revision": values.get("revision_id", ""), "page": values.get("page_id", ""), "date": values.get("timestamp", "")}
    return Converted(f"# {title}\n\n{text}" if title and text else text, title or None, {k: v for k, v in facts.items() if v})


def wikitext(
    source: str,
    rules: WikitextRules,
    *,
    language: str = "en",
    title: str = "",
    files: list[str] | None = None,
    categories: list[str] | None = None,
) -> str:
    """Markdown of a piece of wikitext; never fails on what people write."""
    import mwparserfromhell

    code = mwparserfromhell.parse(prepared(_VARIANT.sub(_variant, _SENTINELS.sub("", source))))
    page = _Page(rules, title, files or list(rules.file_namespaces), categories or list(rules.category_namespaces))
    base = language.partition("-")[0]
    cut = {h.casefold() for code_ in {base, "en"} for h in rules.sections.get(code_, ())}
    return finish(page.render(code), page.stash, cut)


def _variant(found: re.Match[str]) -> str:
    inner = found[1]
    flags, sep, rest = inner.partition("|")
    if sep and re.fullmatch(r"[A-Z;a-z-]{1,20}", flags):
        if {"T", "H", "-"} & set(flags.split(";")):
            return ""
        inner = rest
    options = dict(part.split(":", 1) for part in inner.split(";") if ":" in part)
    options = {k.strip(): v for k, v in options.items()}
    for variant in ("zh-hans", "zh-cn", "zh", "zh-hant", "zh-tw", "zh-hk"):
        if variant in options:
            return options[variant]
    return inner


def _normal(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


class _Page:
    """Renders nodes to text in which block structure is marked by private-use characters; `wikitext_lines` makes Markdown of it."""

    def __init__(self, rules: WikitextRules, title: str, files: list[str], categories: list[str]) -> None:
        self.stash: list[str] = []
        self._rules = rules
        self._title = title
        self._files = {_normal(n) for n in files}
        self._categories = {_normal(n) for n in categories}
        self._templates = {_normal(n): t for n, t in rules.templates.items()}
        self._prefixes = [(n[:-1], t) for n, t in self._templates.items() if n.endswith("*")]
        self._classes = {c.casefold() for c in rules.table_classes}
        self._visit = {
            "Text": self._text, "Heading": self._heading, "Wikilink": self._wikilink, "ExternalLink": self._external,
            "Template": self._template, "Tag": self._tag, "HTMLEntity": self._entity, "Argument": self._argument,
        }  # fmt: skip

    def render(self, code: Any) -> str:
        """Marked text of some wikicode."""
        if code is None:
            return ""
        parts = []
        for node in code.nodes:
            visit = self._visit.get(type(node).__name__)
            if visit is not None:
                parts.append(visit(node))
        return "".join(parts)

    def _keep(self, text: str) -> str:
        """Put finished text aside, so that no later pass touches it."""
        self.stash.append(text)
        return f"{STASH}{len(self.stash) - 1}{STASH}"

    def _block(self, text: str) -> str:
        return f"\n\n{self._keep(text)}\n\n" if text.strip() else ""

    def _finished(self, code: Any) -> str:
        return finish(self.render(code), self.stash, set())

    def _text(self, node: Any) -> str:
        text = str(node.value)
        if "__" in text:
            text = _MAGIC.sub("", text)
        return _LEFT_OVER.sub("", text)

    def _entity(self, node: Any) -> str:
        return html.unescape(str(node)).replace("\u00a0", " ")

    def _argument(self, node: Any) -> str:
        return self.render(node.default)

    def _heading(self, node: Any) -> str:
        title = " ".join(self.render(node.title).replace("*", "").split())
        return f"\n\n{HEADING}{min(6, node.level)}{title}\n\n"

    def _wikilink(self, node: Any) -> str:
        target = str(node.title)
        prefix, colon, rest = target.partition(":")
        name = _normal(prefix)
        if colon and name in self._files | self._categories:
            return ""
        if target.lstrip().startswith(":"):
            target = target.lstrip()[1:]
        elif colon and node.text is None and rest and not rest.startswith(" ") and _INTERLANGUAGE.fullmatch(prefix):
            return ""  # the page in another language
        if node.text is not None:
            return self.render(node.text).rpartition("|")[2]
        return self.render(node.title) if target == str(node.title) else target

    def _external(self, node: Any) -> str:
        if node.title is not None:
            return self.render(node.title)
        return "" if node.brackets else str(node.url)

    def _template(self, node: Any) -> str:
        name = _normal(str(node.name))
        if name == "pagename":
            return self._title
        rule = self._templates.get(name)
        if rule is None and ":" in name:  # {{formatnum:12345}}: a parser function, its first argument is in its name
            function, _, first = str(node.name).strip().partition(":")
            rule = self._templates.get(_normal(function))
            return _PLACE.sub(lambda m: first if m[1] == "1" else "", rule) if rule is not None else ""
        if rule is None:
            rule = next((t for prefix, t in self._prefixes if name.startswith(prefix)), None)
        if rule is None:
            return ""
        given = {str(p.name).strip(): p.value for p in node.params}

        def value(found: re.Match[str]) -> str:
            for choice in found[1].split("|"):
                if choice in given and (text := self.render(given[choice]).strip()):
                    return text
            return ""

        text = _PLACE.sub(value, rule)
        if rule.startswith("\n> "):
            inner = finish(text.strip().removeprefix(">"), self.stash, set())
            return self._block("\n".join(f"> {line}".rstrip() for line in inner.split("\n"))) if inner else ""
        return text

    def _tag(self, node: Any) -> str:
        tag = str(node.tag).strip().casefold()
        markup = node.wiki_markup
        if tag in _CUT_TAGS or (node.attributes and self._hidden(node)):
            return ""
        if tag in ("li", "dd", "dt"):
            if markup and node.self_closing:
                return f"{ITEM}{markup}"
            return f"\n{ITEM}*{self.render(node.contents).strip()}\n"
        if tag in ("b", "strong", "i", "em"):
            return self._style(node, "**" if tag in ("b", "strong") else "*")
        if tag in ("math", "chem"):
            return self._math(node)
        if tag in ("syntaxhighlight", "source", "pre"):
            return self._code(node)
        if tag in ("code", "tt", "kbd", "samp"):
            inner = self._finished(node.contents).replace("`", "")
            return self._keep(f"`{inner}`") if inner and "\n" not in inner else inner
        if tag == "nowiki":
            return self._keep(html.unescape(str(node.contents))) if node.contents else ""
        if tag == "br":
            return BREAK
        if tag == "hr":
            return "\n\n"
        if tag == "table":
            return self._table(node)
        if tag == "poem":
            return f"\n\n{self.render(node.contents).strip().replace(chr(10), BREAK)}\n\n"
        if tag == "blockquote":
            inner = self._finished(node.contents)
            return self._block("\n".join(f"> {line}".rstrip() for line in inner.split("\n"))) if inner else ""
        if tag in _SCRIPT:
            inner = self.render(node.contents).strip()
            if inner and all(ord(c) in _SCRIPT[tag] for c in inner):
                return inner.translate(_SCRIPT[tag])
            return f"{'^' if tag == 'sup' else '_'}{inner}" if inner else ""
        inner = self.render(node.contents)
        return f"\n\n{inner}\n\n" if tag in ("p", "div", "center", "ul", "ol", "dl") else inner

    def _hidden(self, node: Any) -> bool:
        for attribute in node.attributes:
            name = str(attribute.name).strip().casefold()
            value = str(attribute.value or "").casefold()
            if name == "class" and self._classes & set(value.split()):
                return True
            if name == "style" and re.search(r"display\s*:\s*none", value):
                return True
        return False

    def _style(self, node: Any, mark: str) -> str:
        inner = self.render(node.contents)
        core = inner.strip()
        if not core or "\n" in core or any(c in core for c in (HEADING, ITEM)):
            return inner
        lead, tail = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
        return f"{lead}{mark}{core}{mark}{tail}"

    def _math(self, node: Any) -> str:
        formula = html.unescape(str(node.contents or "")).strip()
        if not formula:
            return ""
        if str(node.tag).strip().casefold() == "chem":
            formula = rf"\ce{{{formula}}}"
        display = any(str(a.name).strip() == "display" and str(a.value).strip() == "block" for a in node.attributes)
        return self._block(f"$$\n{formula}\n$$") if display else self._keep(f"${' '.join(formula.split())}$")

    def _code(self, node: Any) -> str:
        given = {str(a.name).strip().casefold(): str(a.value or "").strip() for a in node.attributes}
        code = html.unescape(str(node.contents or "")).strip("\n").rstrip()
        if not code:
            return ""
        if "inline" in given:
            return self._keep(f"`{' '.join(code.split())}`")
        language = re.sub(r"[^\w+#.-]", "", given.get("lang", ""))
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", code))])
        return self._block(f"{fence}{language}\n{code}\n{fence}")

    def _table(self, node: Any) -> str:
        rows: list[list[str]] = []
        caption = ""
        nested = False
        cells: list[str] = []
        for child in node.contents.nodes if node.contents is not None else ():
            if type(child).__name__ != "Tag":
                continue
            tag = str(child.tag).strip().casefold()
            if tag == "caption":
                caption = " ".join(self._finished(child.contents).split())
            elif tag == "tr":
                row = self._cells(child)
                nested = nested or any("\n| --- " in self.stash_text(c) for c in row)
                rows.append(row)
            elif tag in ("td", "th"):
                cells += self._cell(child)
        rows = [r for r in [cells, *rows] if any(c.strip() for c in r)]
        if rows and rows[0][0].startswith("+"):  # `|+` comes as a cell
            caption = caption or " ".join(rows[0][0][1:].split())
            rows[0] = rows[0][1:]
            rows = [r for r in rows if any(c.strip() for c in r)]
        lead = f"\n\n{caption}\n\n" if caption and rows else ""
        if not rows:
            return ""
        wide = max(map(len, rows))
        if nested or wide == 1 or wide > 60:
            return lead + "\n\n".join(c for r in rows for c in r if c.strip()) + "\n\n"
        flat = [[" ".join(c.split()).replace("|", "\\|") for c in r] + [""] * (wide - len(r)) for r in rows]
        lines = ["| " + " | ".join(r) + " |" for r in flat]
        lines.insert(1, "|" + " --- |" * wide)
        return lead + self._block("\n".join(lines))

    def stash_text(self, text: str) -> str:
        """Text with what was put aside back in its place."""
        return re.sub(f"{STASH}(\\d+){STASH}", lambda m: self.stash[int(m[1])], text)

    def _cells(self, row: Any) -> list[str]:
        found: list[str] = []
        for child in row.contents.nodes if row.contents is not None else ():
            if type(child).__name__ == "Tag" and str(child.tag).strip().casefold() in ("td", "th"):
                found += self._cell(child)
        return found

    def _cell(self, cell: Any) -> list[str]:
        text = self._finished(cell.contents)
        if "=" in text and _ONLY_ATTRIBUTES.fullmatch(text):
            text = ""
        span = 1
        for attribute in cell.attributes:
            value = str(attribute.value or "").strip().strip("\"'")
            if str(attribute.name).strip().casefold() == "colspan" and value.isdecimal():
                span = max(1, min(60, int(value[:4])))
        return [text] + [""] * (span - 1)
