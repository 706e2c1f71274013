"""What stands at the edges of a page's main text and is none of it: dates and names above it, calls to subscribe below, lists of what
else there is, credits of pictures.

Looked at are the words of short blocks alone, in the order in which they stand. The words are those of many sites in en, de, fr, es,
it, pt, pl, ru, zh, ja and ko; no rule is for one site. Costs about 20 µs a page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headrace_governance.text.html.block_rows import CODE, HEADING, PROSE, TABLE

SHORT = 100
"""Bytes up to which a block may be a label."""
CALL = 260
"""Bytes up to which a block may be a call to subscribe."""
ASIDE = 0.35
"""Share of the text that a section about something else may have; a larger one is the text."""
MANY = 20
"""Sections that are too large to be asides, after which no more are looked for: on a page of them it would take quadratic time."""
LAST = 4
"""Blocks at the end that may be calls."""

_ELSEWHERE = re.compile(
    r"[^\w.]{0,6}(?:"
    # English
    r"related (?:articles?|stories|posts?|content|news|topics)|related:?$|read (?:more|also|next)|more (?:on|from|about|stories|news|in)\b|"
    r"(?:you|we think you)(?: may| might|.ll)? (?:also )?(?:like|be interested|enjoy)|explore further|keep reading|"
    r"what to read next|trending|"
    r"recommended(?: (?:for you|articles|stories|reading|posts|videos))?:?$|most (?:read|popular|viewed)|latest (?:news|stories|posts)|"
    # German
    r"mehr (?:zu[mr]?|aus|von|themen|artikel|news|beiträge|infos?|informationen|lesen|kolumnen|nachrichten)\b|"
    r"auch (?:interessant|lesenswert)|"
    r"(?:das|diese artikel|diese themen|das thema)? ?(?:könnten?|dürften?) (?:dich|sie|euch|ihnen|dir)(?: auch)?|interessante artikel|"
    r"weitere (?:artikel|informationen|infos|meldungen|pressemitteilungen|themen|news|nachrichten|beiträge|inhalte|berichte|links|produkte|"
    r"rezepte|tipps)|lesen sie (?:auch|mehr|hier|weiter)|lesetipps?|lies (?:auch|hier)|weiterlesen|(?:unsere )?empfehlungen|"
    r"passend(?:e artikel)? zum|(?:artikel und videos )?zum thema|thema folgen|(?:ähnliche|verwandte) (?:artikel|beiträge|rezepte|themen)|"
    r"(?:aktuelle|alle) artikel|meist ?gelesen|entdecke weitere|erschienen in|"
    # French
    r"(?:à )?lire (?:aussi|également)|sur le même (?:sujet|thème)|articles? (?:liés?|similaires|connexes)|voir aussi|"
    r"dans la même|autour de|"
    r"pour aller plus loin|"
    # Spanish, Portuguese, Italian, Polish, Russian
    r"le(?:er|a|e) (?:también|además|más)|te puede interesar|[lt]e recomendamos|más (?:sobre|noticias|información|en)\b|"
    r"(?:notas|noticias|artículos) relacionad|lei(?:a|ta) (?:também|mais)|veja (?:também|mais)|saiba mais|"
    r"notícias relacionadas|leggi anche|"
    r"potrebbe interessar|articoli correlati|(?:prze)?(?:czytaj|zobacz) (?:też|także|również|więcej)|"
    r"(?:читайте|смотрите) (?:также|ещё|еще)|по теме|"
    # Chinese, Japanese, Korean
    r"相关(?:阅读|新闻|文章|推荐|链接)|推荐阅读|相關(?:閱讀|新聞|文章)|関連(?:記事|リンク|ニュース)|あわせて読みたい|"
    r"おすすめ記事|관련 ?(?:기사|뉴스)"
    r")",
    re.IGNORECASE,
)
"""How a label or a heading begins above what else there is to read."""
_OTHERS = re.compile(
    r"[^\w.]{0,6}(?:\d{1,4} )?(?:"
    # comments
    r"comments|1 comment|leave a (?:reply|comment)|(?:leser)?kommentare?|(?:schreibe?n?|hinterlasse) (?:sie )?einen kommentar|"
    r"commentaires?|comentarios?|"
    r"comentários?|komentarze|комментарии|评论|評論|コメント|댓글|"
    # the author, the site
    r"about (?:the authors?|us|me)|über (?:den|die|unsere?n?) autor(?:in|en)?|über uns|zu[mr] autor(?:in)?|à propos de l.auteur|"
    r"sobre (?:el|o|la|a) autora?|o autorze|об авторе|"
    # subscriptions, sharing, advertisements, votes
    r"newsletter|subscribe|sign up|(?:jetzt )?abonnieren|s.abonner|suscríbete|iscriviti|assine|"
    r"share(?: this)?|(?:(?:artikel|news|beitrag|seite) )?teilen|partager|compartir|compartilh(?:ar|e)|condividi|udostępnij|"
    r"поделиться|分享|シェア|"
    r"tags?|advertisement|anzeige|werbung|publicidad|publicité|reklama|реклама|広告|广告|"
    r"write a review|bewertungen|(?:ihre|deine) (?:meinung|bewertung)|rate this|war (?:der|dieser) artikel"
    r")(?:$|[\s:(!?\-–—»>…])",
    re.IGNORECASE,
)
"""How one begins above comments, the author's portrait, and what asks the reader for something."""
_CALLS = re.compile(
    r"\b(?:subscri(?:be|ptions?)\b.{0,40}\b(?:now|our|to|today)|sign up (?:for|to|now)|follow (?:us|me|@|the|our|him|her)\b|"
    r"join (?:us|our) |"
    r"newsletters?\b|download (?:our|the) app|help us (?:continue|keep)|support (?:us|our)|click here|"
    r"abonnier\w{0,6}|folge?n? sie|folgt? uns|jetzt (?:bestellen|kaufen|anmelden|abonnieren)|unterstütze?n? (?:sie )?uns|"
    r"s[ií]gu?enos|suscr[ií]b\w{0,6}|canal de (?:telegram|youtube|whatsapp)|hazte (?:miembro|socio)|"
    r"abonnez|suivez.nous|inscrivez|iscriviti|seguici|abbonati|assine|siga.nos|inscreva|subskry\w{1,8}|zapisz się|zapraszamy)"
    r"|подпи(?:сы|ш)\w{1,8}|订阅|訂閱|关注我们|關注我們|フォロー|登録はこちら|구독",
    re.IGNORECASE,
)
"""What the last blocks of a page ask for."""
_CREDIT = re.compile(
    r"\W{0,3}(?:(?:©|\(c\)\s)(?!\s?\d)|(?:fotos?|photos?|bild(?:er)?|image|picture|fot|credits?|crédits?(?: photos?)?|crédito|fotografie|"
    r"screenshot|beitragsbild|titelbild|写真|图片来源)\s?(?:[:/|©]|by\b|von\b|via\b|par\b))",
    re.IGNORECASE,
)
_AGENCY = re.compile(
    r"©(?!\s?\d)|(?i:getty ?images|picture[- ]alliance|\bimago\b|shutterstock|i?stock(?:photo)?\.com|adobe ?stock|"
    r"stock\.adobe|unsplash|pixabay|"
    r"\bpexels|wikimedia)|\bdpa\b|\bAFP\b|\bEPA\b|\bREUTERS\b|\bAP ?Photo"
)
"""Whose picture it is; a year behind the sign is a work's copyright."""
_DATE = re.compile(
    r"\b(?:\d{1,2}(?:\.\s?|[/-])\d{1,2}(?:\.\s?|[/-])(?:19|20)\d\d|(?:19|20)\d\d\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}|"
    r"\d{1,2}\.?(?:st|nd|rd|th)?(?: de)? [^\W\d]{3,12}\.?,?(?: de)? (?:19|20)\d\d|[^\W\d]{3,12}\.? \d{1,2}(?:st|nd|rd|th)?,? (?:19|20)\d\d)"
)
_MORE_WORDS = 3
"""Words that a heading may have beyond those that say that it is about something else."""
_ENDS = tuple(".!?…。！？\"'”»」)）:：;")


@dataclass(slots=True)
class Piece:
    """A chosen block.

    Attributes:
        number: of the block on the page; a gap says that what stood between was left out.
        text: its text, character references resolved.
        defined: it lies in a definition or cell, where a date is what is said.
    """

    number: int
    kind: int
    level: int
    size: int
    link: int
    text: str
    defined: bool = False


def main_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without those at the edges of the text."""
    kept = [p for p in pieces if not _is_credit(p)]
    kept = _without_head(kept)
    kept = _without_asides(kept)
    kept = _without_tail(kept)
    return kept if any(p.kind != HEADING for p in kept) else list(pieces)


def _is_credit(p: Piece) -> bool:
    if p.kind != PROSE or p.size > SHORT:
        return False
    return _CREDIT.match(p.text) is not None or (_AGENCY.search(p.text) is not None and not p.text.endswith("."))


def _is_text(p: Piece) -> bool:
    return p.kind in (CODE, TABLE) or (p.kind != HEADING and p.size > SHORT)


def _without_head(pieces: list[Piece]) -> list[Piece]:
    """Dates between the title and the text, with the names beside them; only where a text follows."""
    first = next((k for k, p in enumerate(pieces) if _is_text(p)), 0)
    return [
        p for k, p in enumerate(pieces) if k >= first or not (p.kind == PROSE and p.size <= SHORT and not p.defined and _is_dated(p.text))
    ]


def _is_dated(text: str) -> bool:
    return _DATE.search(text) is not None and not text.endswith((".", "!", "?", "。"))


def _is_aside(p: Piece) -> bool:
    """Whether a short block says that something else follows."""
    if p.size > SHORT or p.kind not in (PROSE, HEADING):
        return False
    other = _OTHERS.match(p.text)
    if other:
        return len(p.text[other.end() :].split()) <= 1
    found = _ELSEWHERE.match(p.text)
    if not found:
        return False
    rest = p.text[found.end() :]
    return len(rest.split()) <= _MORE_WORDS if p.kind == HEADING else not rest.endswith((".", "。"))


def _without_asides(pieces: list[Piece]) -> list[Piece]:
    """Sections and labels about something else, with what they stand above."""
    total = sum(len(p.text) for p in pieces)
    out: list[Piece] = []
    k = large = 0
    while k < len(pieces):
        p = pieces[k]
        if large == MANY or not _is_aside(p):
            out.append(p)
            k += 1
            continue
        end = _section_end(pieces, k)
        size = sum(len(q.text) for q in pieces[k:end])
        if size > ASIDE * total:
            large += 1
            out.append(p)
            k += 1
        else:
            k = end
    return out


def _section_end(pieces: list[Piece], k: int) -> int:
    """Behind the section that a heading opens, or behind a label and the short blocks below it."""
    p = pieces[k]
    end = k + 1
    if p.kind == HEADING:
        while end < len(pieces) and not (pieces[end].kind == HEADING and pieces[end].level <= p.level):
            end += 1
        return end
    while end < len(pieces) and pieces[end].kind == PROSE and pieces[end].size <= SHORT and not pieces[end].text.endswith(_ENDS):
        end += 1
    return end


def _without_tail(pieces: list[Piece]) -> list[Piece]:
    """Calls to subscribe, and headings whose content was left out, at the end."""
    end = len(pieces)
    while end > 1:
        p = pieces[end - 1]
        call = p.kind == PROSE and p.size <= CALL and len(pieces) - end < LAST and _CALLS.search(p.text)
        if not (p.kind == HEADING or call):
            break
        end -= 1
    return pieces[:end]
