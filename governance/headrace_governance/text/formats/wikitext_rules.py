"""Which names mean what in the wikis' languages; the values are in `governance/pipelines/filters/wikitext.yaml`."""

from __future__ import annotations

from pydantic import Field

from headrace_lake.strict import StrictModel


class WikitextRules(StrictModel):
    """Names by which wikitext is cleaned; all are compared without regard to case, `_` as a blank.

    Attributes:
        sections: language → headings whose sections are cut (references, links, literature).
        file_namespaces: names of namespace 6 in the wikis' languages, beside the dump's own.
        category_namespaces: names of namespace 14.
        templates: template → what stands for it: `{1}`, `{name}` are its arguments, `{a|b}` the first that is there. A name that
            ends in `*` holds for all that begin so. A template that is not listed is removed.
        table_classes: classes of tables and boxes that are no text (infobox, navbox ...).
    """

    sections: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    file_namespaces: tuple[str, ...] = ("file", "image", "media")
    category_namespaces: tuple[str, ...] = ("category",)
    templates: dict[str, str] = Field(default_factory=dict)
    table_classes: tuple[str, ...] = ("infobox", "navbox", "metadata", "ambox", "sidebar")
