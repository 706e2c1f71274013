"""The card of a quality model as Markdown: what it was made from, how well it does, and what that does not show."""

from __future__ import annotations

from typing import Any

_PROXY = (
    "Its labels are proxies: the origin of a text stands for a judgement that nobody made. An AUC on them says how well such origins "
    "are told apart, not how well people's judgement is met."
)


def card_markdown(card: dict[str, Any]) -> str:
    """The card."""
    what = f"{card['role']} for `{card['language']}`; {card['library']}, {card['bytes']:,} bytes, digest `{card['digest']}`."
    lines = [f"# {card['name']}", "", what, ""]
    if card["role"] == "classifier":
        lines += _classifier(card)
    else:
        lines += _perplexity(card)
    for side, entries in card.get("data", {}).items():
        lines += ["", f"## Data: {side}", "", "| entry | documents | bytes | licences |", "| --- | --: | --: | --- |"]
        lines += [f"| {e['entry']} | {e['documents']:,} | {e['bytes']:,} | {', '.join(e['licences'])} |" for e in entries]
    lines += ["", "## Parameters", "", *(f"- {k}: {v}" for k, v in sorted(card["params"].items()))]
    return "\n".join(lines)


def _classifier(card: dict[str, Any]) -> list[str]:
    sets = {"held out": card["held_out"], **card["trials"]}
    lines = []
    if any(s["labels"] == "proxy" for s in sets.values()):
        lines += [_PROXY, ""]
    lines += [
        f"Graded by {card['graded_by']}.",
        "",
        "| set | labels | AUC | 95 % (DeLong) | good | bad |",
        "| --- | --- | --: | --- | --: | --: |",
    ]
    lines += [f"| {name} | {s['labels']} | {_auc(s)} | {s['positive']:,} | {s['negative']:,} |" for name, s in sets.items()]
    if any("perplexity" in s["alone"] for s in sets.values()):
        lines += ["", "Each measure alone:", "", "| set | classifier | 95 % | perplexity | 95 % |", "| --- | --: | --- | --: | --- |"]
        lines += [f"| {name} | {_auc(s['alone']['classifier'])} | {_auc(s['alone']['perplexity'])} |" for name, s in sets.items()]
    for name, s in sets.items():
        lines += ["", f"By entry, {name}:", "", "| entry | AUC | 95 % | good | bad |", "| --- | --: | --- | --: | --: |"]
        lines += [f"| {entry} | {_auc(a)} | {a['positive']:,} | {a['negative']:,} |" for entry, a in s["by_entry"].items()]
    lines += ["", f"Tiers (quantiles of {card['reference']}), and what keeping a tier and those above it keeps of the held-out texts:", ""]
    lines += ["| tier | from grade | good kept | bad kept | good among the kept |", "| --- | --: | --: | --: | --: |"]
    lines += [
        f"| {o['tier']} | {o['from_score']:.4f} | {o['recall']:.1%} | {o['bad_kept']:.1%} | {o['precision']:.1%} |"
        for o in card["operating"]
    ]
    return lines


def _perplexity(card: dict[str, Any]) -> list[str]:
    if "origin" in card:
        return [f"Made elsewhere: {card['origin']}, {card['licence']}; order {card['order']}."]
    held = ", ".join(f"{k} {v:,}" for k, v in card["perplexity"].items())
    sizes = ", ".join(f"{n:,}" for n in card["ngrams"])
    return [
        f"N-grams by order: {sizes}. Perplexity a word of {card['documents']['held_out']:,} held-out documents: {held or 'none held out'}."
    ]


def _auc(row: dict[str, Any]) -> str:
    return f"{row['auc']:.3f} | {row['low']:.3f} to {row['high']:.3f}"
