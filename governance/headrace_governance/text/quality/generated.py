"""Bad text made here from a seed: a declared stand-in for what a crawl brings, used where no labelled text can be had.

    keywords   search words strung together, as pages written for search engines have them
    shuffled   the words of a good passage in random order: right words, no sentences
    log        lines of a program's log
    sales      phrases of advertising put together at random (English and Chinese)
    menu       titles of pages and what surrounds them: navigation (English and Chinese)
    table      rows of codes and numbers

The generator draws from `random.Random.random` alone, whose sequence Python keeps from version to version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

KINDS = ("keywords", "shuffled", "log", "sales", "menu", "table")
PHRASE_KINDS = ("sales", "menu")
PHRASES: dict[str, dict[str, str]] = {
    "en": {
        "sales": "buy {w} now|best price for {w} guaranteed|limited offer only today|click here for {w}|free shipping on all {w}|act now!!!"
        "|100% satisfaction|call us for {w}|cheap {w} online|no credit card required|you won't believe this {w}|order {w} today"
        "|save up to 70%|trusted by thousands|risk free trial|the #1 {w} on the web|exclusive deal inside|sign up and win {w}",
        "menu": "Home|About us|Contact|Log in|Register|Privacy policy|Terms of use|Next page|Previous|Share on social media|Search|{w}"
        "|{w} {w}|All {w}|More {w}|Read more|Back to top|Copyright. All rights reserved|Subscribe|Comments (0)|Tags: {w}|Print this page"
        "|Sitemap|Help",
    },
    "zh": {
        "sales": "{w}厂家直销|{w}价格优惠|立即抢购|全场包邮|点击咨询{w}|免费领取{w}|限时特价|{w}多少钱|{w}哪家好|加微信了解{w}"
        "|货到付款|最低折扣|名额有限|专业{w}服务|百分百满意|欢迎来电|{w}批发网|代理加盟{w}|史上最强{w}|不看后悔",
        "menu": "首页|关于我们|联系方式|登录|注册|隐私政策|使用条款|下一页|上一页|分享到|搜索|{w}|{w}{w}|全部{w}|更多{w}|阅读全文"
        "|返回顶部|版权所有|订阅|评论(0)|标签:{w}|打印本页|网站地图|帮助中心|当前位置:首页>{w}",
    },
}
_LEVELS = ("INFO", "DEBUG", "WARN", "ERROR", "TRACE")


class Draw:
    """Random choices from `random()` alone."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random

    def below(self, n: int) -> int:
        """A number from 0 to n - 1."""
        return int(self._random() * n)

    def one(self, of: Sequence[str]) -> str:
        """One of them."""
        return of[self.below(len(of))]

    def shuffled(self, of: Sequence[str]) -> list[str]:
        """All of them in random order (Fisher-Yates)."""
        out = list(of)
        for i in range(len(out) - 1, 0, -1):
            j = self.below(i + 1)
            out[i], out[j] = out[j], out[i]
        return out


def generate(kind: str, language: str, passages: Sequence[Sequence[str]], *, seed: int, documents: int) -> list[str]:
    """Texts of a kind.

    Args:
        passages: words of good passages of the language, whose words (and, for `shuffled`, passages) are used.
    """
    draw = Draw(seed)
    pool = [w for passage in passages for w in passage if w[:1].isalpha() and (len(w) > 3 or (language == "zh" and len(w) > 1))]
    joint = "" if language in ("zh", "ja") else " "
    make: dict[str, Callable[[], str]] = {
        "keywords": lambda: _keywords(draw, pool, joint),
        "shuffled": lambda: joint.join(draw.shuffled(passages[draw.below(len(passages))])),
        "log": lambda: _log(draw, pool),
        "sales": lambda: _phrases(draw, pool, PHRASES[language]["sales"], joint or "\uff01"),
        "menu": lambda: _phrases(draw, pool, PHRASES[language]["menu"], "\n"),
        "table": lambda: _table(draw, pool),
    }
    return [make[kind]() for _ in range(documents)]


def _keywords(draw: Draw, pool: Sequence[str], joint: str) -> str:
    phrases = [joint.join(draw.one(pool) for _ in range(1 + draw.below(3))) for _ in range(3 + draw.below(5))]
    separator = draw.one((", ", " | ", " ", "\n", " - "))
    return separator.join(draw.one(phrases) for _ in range(30 + draw.below(90)))


def _log(draw: Draw, pool: Sequence[str]) -> str:
    lines = []
    for _ in range(8 + draw.below(20)):
        date = f"20{10 + draw.below(16)}-{1 + draw.below(12):02}-{1 + draw.below(28):02}"
        clock = f"{draw.below(24):02}:{draw.below(60):02}:{draw.below(60):02}"
        place = ".".join(draw.one(pool) for _ in range(2))
        lines.append(
            f"{date} {clock} {draw.one(_LEVELS)} [{place}] {draw.one(pool)}={draw.below(10**6)} "
            f"id=0x{draw.below(1 << 30):08x} {draw.below(900)}ms"
        )
    return "\n".join(lines)


def _phrases(draw: Draw, pool: Sequence[str], phrases: str, joint: str) -> str:
    every = phrases.split("|")
    words = [draw.one(pool) for _ in range(1 + draw.below(6))]
    out = []
    for _ in range(20 + draw.below(50)):
        phrase = draw.one(every)
        while "{w}" in phrase:
            phrase = phrase.replace("{w}", draw.one(words), 1)
        out.append(phrase)
    return joint.join(out)


def _table(draw: Draw, pool: Sequence[str]) -> str:
    columns = 3 + draw.below(5)
    separator = draw.one(("\t", " | ", ";", "  "))
    kinds = [draw.below(3) for _ in range(columns)]

    def cell(kind: int) -> str:
        return (str(draw.below(10**5)), f"{draw.below(10**4) / 100:.2f}", f"{draw.one(pool)[:4]}-{draw.below(999):03}")[kind]

    rows = [separator.join(cell(k) for k in kinds) for _ in range(10 + draw.below(30))]
    return "\n".join(rows)
