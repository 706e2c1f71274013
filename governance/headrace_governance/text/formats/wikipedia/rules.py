"""Which names mean what in the wikis' languages; the values are in `governance/pipelines/filters/wikitext.yaml`."""

from __future__ import annotations

from pydantic import Field

from headrace_lake.strict import StrictModel


class WikitextRules(StrictModel):
    """Names by which wikitext is cleaned; all are compared without regard to case, `_` as a blank.

    A template that is listed nowhere keeps its plain arguments if it stands in a sentence, and is counted; alone in its lines it is a box
    and is removed, and counted as well.

    Attributes:
        sections: language → headings whose sections are cut (references, links, literature).
        file_namespaces: names of namespace 6 in the wikis' languages, beside the dump's own.
        category_namespaces: names of namespace 14.
        templates: template → what stands for it: `{1}`, `{name}` are its arguments, `{a|b}` the first that is there, `{a|=b}` the
            text b where a is not; `@date` and its like are the functions of `wikitext_templates.py`, `@amount:SIGN` puts a
            sign before the first argument. A name that ends in `*` holds for all that begin so.
        templates_by_language: the same for names that mean something else in one language's wiki.
        silent_templates: templates that print nothing that is text; they go uncounted. A name that ends in `*` as above.
        table_classes: classes of tables and boxes that are not text (infobox, navbox ...).
    """

    sections: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    file_namespaces: tuple[str, ...] = ("file", "image", "media")
    category_namespaces: tuple[str, ...] = ("category",)
    templates: dict[str, str] = Field(default_factory=dict)
    templates_by_language: dict[str, dict[str, str]] = Field(default_factory=dict)
    silent_templates: tuple[str, ...] = ()
    table_classes: tuple[str, ...] = ("infobox", "navbox", "metadata", "ambox", "sidebar")
