"""Wikitext → Markdown: a page of a MediaWiki export, parsed by mwparserfromhell.

Kept: headings, paragraphs, lists, bold and italic, the words of links, tables of data as pipe tables, `<math>` as `$...$`, code in
fences, quotations, poems, templates that are prose (`wikitext.yaml`). Removed: references, files, categories, boxes, navigation, and
sections of references and links, by their names in the page's language. Sections left without text go too.

A template that is listed nowhere keeps its plain arguments where it stands in a sentence, because a sentence with a hole is worse than
none; alone in its lines, or behind a sentence's end as notes are, it is removed. Both are counted: `templates_unknown`,
`templates_dropped` and their names go to the document's fields.

Speed: about 2.4 MB of wikitext/s a core on English articles, half of it mwparserfromhell's.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.scripts import annotated, lowered, raised
from headrace_governance.text.formats.tables import WIDEST, Cell, placed, spans
from headrace_governance.text.formats.tree import pipe_table
from headrace_governance.text.formats.wikipedia.context import in_sentence, is_note
from headrace_governance.text.formats.wikipedia.lines import BREAK, HEADING, ITEM, STASH, finish
from headrace_governance.text.formats.wikipedia.prepare import prepared
from headrace_governance.text.formats.wikipedia.rules import WikitextRules
from headrace_governance.text.formats.wikipedia.templates import Given, Templates, normal, templates_of
from headrace_governance.text.xml_tree import local_name, parse_xml

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
_LEFT_OVER = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|</?(?:ref|li|small|div|span|center|blockquote|includeonly|noinclude|onlyinclude)\b[^<>]{0,200}>"
)
"""Markup that its author did not close, which the parser therefore leaves as text."""
_ONLY_ATTRIBUTES = re.compile(r"(?:[\w-]{1,30}\s?=\s?(?:\"[^\"]{0,200}\"|[^\s\"]{1,100})\s?){1,10}")
"""A cell `| colspan="5" {{Yes}}`: the bar between attributes and content is inside the template."""
_DELETED = frozenset({"del", "s", "strike"})
_LONGEST = 300
"""Characters of an unknown template's arguments that are taken for a part of a sentence."""
_NAMED = 20
"""Unknown templates that a document's fields name."""


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
    text, page = _converted(values["text"], rules, language, title, names["6"], names["14"])
    facts = {"revision": values.get("revision_id", ""), "page": values.get("page_id", ""), "date": values.get("timestamp", "")}
    facts = {k: v for k, v in facts.items() if v} | page.unknown()
    return Converted(f"# {title}\n\n{text}" if title and text else text, title or None, facts)


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
    namespaces = files or list(rules.file_namespaces), categories or list(rules.category_namespaces)
    return _converted(source, rules, language, title, *namespaces)[0]


def _converted(source: str, rules: WikitextRules, language: str, title: str, files: list[str], categories: list[str]) -> tuple[str, _Page]:
    import mwparserfromhell

    code = mwparserfromhell.parse(prepared(_VARIANT.sub(_variant, _SENTINELS.sub("", source))))
    base = language.partition("-")[0]
    page = _Page(rules, templates_of(rules, base), title, files, categories)
    cut = {h.casefold() for code_ in {base, "en"} for h in rules.sections.get(code_, ())}
    return finish(page.render(code), page.stash, cut), page


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


class _One:
    """One node as if it were wikicode."""

    def __init__(self, node: Any) -> None:
        self.nodes = [node]


class _Page:
    """Renders nodes to text in which block structure is marked by private-use characters; `wikitext_lines` makes Markdown of it."""

    def __init__(self, rules: WikitextRules, templates: Templates, title: str, files: list[str], categories: list[str]) -> None:
        self.stash: list[str] = []
        self._templates = templates
        self._title = title
        self._kept: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._depth = 0
        self._files = {normal(n) for n in files}
        self._categories = {normal(n) for n in categories}
        self._classes = {c.casefold() for c in rules.table_classes}
        self._visit = {
            "Text": self._text, "Heading": self._heading, "Wikilink": self._wikilink, "ExternalLink": self._external,
            "Tag": self._tag, "HTMLEntity": self._entity, "Argument": self._argument,
        }  # fmt: skip

    def render(self, code: Any) -> str:
        """Marked text of some wikicode."""
        if code is None:
            return ""
        parts = []
        nodes = code.nodes
        self._depth += 1
        for at, node in enumerate(nodes):
            kind = type(node).__name__
            if kind == "Template":
                parts.append(self._template(node, nodes, at))
            elif (visit := self._visit.get(kind)) is not None:
                parts.append(visit(node))
        self._depth -= 1
        return "".join(parts)

    def unknown(self) -> dict[str, str]:
        """How many templates nobody knew, kept and removed, and which."""
        counts = {"templates_unknown": self._kept.total(), "templates_dropped": self._dropped.total()}
        named = sorted((self._kept + self._dropped).items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
        facts = {name: str(count) for name, count in counts.items() if count}
        return {**facts, "templates": "; ".join(f"{name} {count}" for name, count in named)} if facts else {}

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
        name = normal(prefix)
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

    def _template(self, node: Any, nodes: Sequence[Any], at: int) -> str:
        name = normal(str(node.name))
        if name in ("pagename", "basepagename", "fullpagename"):
            return self._title
        rule = self._templates.rule(name)
        if rule is None and ":" in name:  # {{formatnum:12345}}: a parser function, its first argument is in its name
            function = str(node.name).strip().partition(":")[0]
            name = normal(function) or ":"
            rule = self._templates.rule(name)
            if rule is not None:
                return self._templates.text(rule, {"1": self.render(node.name).partition(":")[2].strip()})
            if not self._templates.is_silent(name):
                self._dropped[f"{name[:60]}:"] += 1
            return ""
        if rule is None:
            return "" if self._templates.is_silent(name) else self._unknown(node, name[:60], nodes, at)
        given = Given(node.params, self.render)
        text = self._templates.text(rule, given)
        if rule.startswith("\n> "):
            inner = finish(text.strip().removeprefix(">"), self.stash, set())
            return self._block("\n".join(f"> {line}".rstrip() for line in inner.split("\n"))) if inner else ""
        return text

    def _unknown(self, node: Any, name: str, nodes: Sequence[Any], at: int) -> str:
        """The plain arguments of a template that nobody knows, if it is a part of a sentence."""
        if in_sentence(nodes, at, self._files | self._categories, nested=self._depth > 1) and not is_note(nodes, at):
            values = [self.render(p.value).strip() for p in node.params if str(p.name).strip().isdecimal()]
            text = " ".join(v for v in values if v)
            if text and len(text) <= _LONGEST and not any(c in text for c in ("\n", HEADING, ITEM)):
                self._kept[name] += 1
                return text
        self._dropped[name] += 1
        return ""

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
        if tag in ("sup", "sub"):
            inner = self.render(node.contents).strip()
            return raised(inner) if tag == "sup" else lowered(inner)
        if tag in _DELETED:
            return ""
        if tag == "ruby":
            return self._ruby(node)
        inner = self.render(node.contents)
        return f"\n\n{inner}\n\n" if tag in ("p", "div", "center", "ul", "ol", "dl") else inner

    def _ruby(self, node: Any) -> str:
        """A word with its reading in brackets, its own ones (`rp`) if it has some."""
        nodes = node.contents.nodes if node.contents is not None else []
        tags = [str(x.tag).strip().casefold() if type(x).__name__ == "Tag" else "" for x in nodes]
        if "rp" in tags:
            return self.render(node.contents)
        out, base = "", ""
        for x, tag in zip(nodes, tags, strict=True):
            if tag in ("rt", "rtc"):
                out, base = out + annotated(base.strip(), self.render(x.contents).strip()), ""
            elif tag == "rb":
                base += self.render(x.contents)
            else:
                base += self.render(_One(x))
        return out + base

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
        rows: list[list[Cell]] = []
        caption = ""
        nested = False
        cells: list[Cell] = []
        for child in node.contents.nodes if node.contents is not None else ():
            if type(child).__name__ != "Tag":
                continue
            tag = str(child.tag).strip().casefold()
            if tag == "caption":
                caption = " ".join(self._finished(child.contents).split())
            elif tag == "tr":
                row = self._cells(child)
                nested = nested or any("\n| --- " in self.stash_text(c.text) for c in row)
                rows.append(row)
            elif tag in ("td", "th"):
                cells.append(self._cell(child))
        rows = [r for r in [cells, *rows] if r]
        if rows and rows[0][0].text.startswith("+"):  # `|+` comes as a cell
            caption = caption or " ".join(rows[0][0].text[1:].split())
            rows[0] = rows[0][1:]
        grid = [r for r in placed(rows) if any(c.strip() for c in r)]
        lead = f"\n\n{caption}\n\n" if caption and grid else ""
        if not grid:
            return ""
        wide = max(map(len, grid))
        if nested or wide == 1 or wide > WIDEST:
            return lead + "\n\n".join(c for r in grid for c in r if c.strip()) + "\n\n"
        return lead + self._block(pipe_table([[" ".join(c.split()) for c in r] for r in grid]))

    def stash_text(self, text: str) -> str:
        """Text with what was put aside back in its place."""
        return re.sub(f"{STASH}(\\d+){STASH}", lambda m: self.stash[int(m[1])], text)

    def _cells(self, row: Any) -> list[Cell]:
        return [
            self._cell(child)
            for child in (row.contents.nodes if row.contents is not None else ())
            if type(child).__name__ == "Tag" and str(child.tag).strip().casefold() in ("td", "th")
        ]

    def _cell(self, cell: Any) -> Cell:
        text = self._finished(cell.contents)
        if "=" in text and _ONLY_ATTRIBUTES.fullmatch(text):
            text = ""
        given = {str(a.name).strip().casefold(): str(a.value or "") for a in cell.attributes}
        return Cell(text, *spans(given.get("colspan"), given.get("rowspan")))
