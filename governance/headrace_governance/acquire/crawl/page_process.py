"""Reading pages (`pages`) in a process under limits of time and memory, for the crawler's event loop and for imports.

libxml2 compares each attribute of a tag with all before it: 80,000 of them, a page of 700 KB, cost 8 s. What costs so much ends the process
(`text/parser_process`) and is that page's failure (`HostilePage`). A page of at most `SMALL` bytes costs 20 ms at worst and is read where
it came; only its head counts where links do not (`facts`), so that hardly any page of an import goes through the pipe.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from dataclasses import asdict
from typing import Any

from headrace_governance.acquire.crawl.licence import PageFacts
from headrace_governance.acquire.crawl.pages import LOOKED_AT, LinkLimits, Page, facts_end, read_facts, read_page
from headrace_governance.text.parser_process import ParserProcess, answer_all

SECONDS = 2.0
"""Processor time of one page; 1 MiB of ordinary markup takes 0.05."""
MEMORY_BYTES = 1 << 30
"""Address space of the process, which loads no models."""
SMALL = 32 << 10
"""Bytes that are read in place: with the most attributes that fit, 17 ms."""


class HostilePage(Exception):
    """A page that was not read: it took too long or too much memory, or broke the parser; the text says which."""


class PageProcess(ParserProcess):
    """The parent's side. Calls may come from any thread; they are answered one after the other."""

    module = "headrace_governance.acquire.crawl.page_process"

    def __init__(self, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
        super().__init__(seconds, memory_bytes)
        self._lock = threading.Lock()

    def page(self, url: str, body: bytes, charset: str, agent: str, limits: LinkLimits) -> Page:
        """What `pages.read_page` reads.

        Raises:
            HostilePage: it was not read.
        """
        head = {"kind": "page", "url": url, "charset": charset, "agent": agent, "limits": asdict(limits)}
        return self._asked(head, body[:LOOKED_AT])

    def facts(self, url: str, body: bytes, charset: str) -> Page:
        """What `pages.read_facts` reads, in place if what counts of the page is small.

        Raises:
            HostilePage: it was not read.
        """
        if facts_end(body[:LOOKED_AT], charset) <= SMALL:
            try:
                return read_facts(url, body, charset)
            except Exception as exc:
                raise HostilePage(_named(exc)) from exc
        return self._asked({"kind": "facts", "url": url, "charset": charset}, body[:LOOKED_AT])

    def _asked(self, head: dict[str, Any], body: bytes) -> Page:
        with self._lock:
            answer = self.ask([(head, body)])[0]
        if answer is None:
            seconds, memory = self.limits
            raise HostilePage(f"ended the parser (limits: {seconds:g} s, {memory >> 20} MiB)")
        if "error" in answer:
            raise HostilePage(answer["error"])
        facts = answer["facts"]
        facts["licence_links"] = [(where, said) for where, said in facts["licence_links"]]
        return Page(answer["links"], answer["language"], PageFacts(**facts), answer["cut"])


def _named(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"[:500]


_shared: dict[int, PageProcess] = {}
"""The one process of each process that reads pages: a fork must not write into its parent's pipes."""


def shared() -> PageProcess:
    """The process that all crawls and imports of this one use; it ends with it."""
    found = _shared.get(os.getpid())
    if found is None:
        found = _shared[os.getpid()] = PageProcess()
        atexit.register(found.close)
    return found


def _answer(head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        if head["kind"] == "page":
            page = read_page(head["url"], body, head["charset"], head["agent"], LinkLimits(**head["limits"]))
        else:
            page = read_facts(head["url"], body, head["charset"])
    except Exception as exc:  # whatever it is, it is this page's
        return {"error": _named(exc)}, b""
    return {"links": page.links, "language": page.language, "facts": asdict(page.facts), "cut": page.cut}, b""


if __name__ == "__main__":
    answer_all(_answer, float(sys.argv[1]), int(sys.argv[2]))
