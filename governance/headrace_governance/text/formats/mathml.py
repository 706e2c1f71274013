"""Presentation MathML → LaTeX, for the elements that articles use (MathML Core); what is not known is passed through as its content."""

from __future__ import annotations

import re
from typing import Any

from headrace_governance.text.xml_tree import local_name

_SYMBOLS = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "ϵ": r"\epsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "ϑ": r"\vartheta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "ξ": r"\xi", "π": r"\pi",
    "ρ": r"\rho", "σ": r"\sigma", "ς": r"\varsigma", "τ": r"\tau", "υ": r"\upsilon", "φ": r"\varphi", "ϕ": r"\phi", "χ": r"\chi",
    "ψ": r"\psi", "ω": r"\omega", "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi",
    "Σ": r"\Sigma", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega", "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∬": r"\iint", "∮": r"\oint",
    "∞": r"\infty", "∂": r"\partial", "∇": r"\nabla", "∈": r"\in", "∉": r"\notin", "∋": r"\ni", "⊂": r"\subset", "⊆": r"\subseteq",
    "∪": r"\cup", "∩": r"\cap", "∅": r"\emptyset", "∀": r"\forall", "∃": r"\exists", "¬": r"\neg", "∧": r"\wedge", "∨": r"\vee",
    "→": r"\to", "←": r"\leftarrow", "↔": r"\leftrightarrow", "⇒": r"\Rightarrow", "⇔": r"\Leftrightarrow", "↦": r"\mapsto",
    "≤": r"\leq", "⩽": r"\leq", "≥": r"\geq", "⩾": r"\geq", "≠": r"\neq", "≈": r"\approx", "∼": r"\sim", "≃": r"\simeq", "≅": r"\cong",
    "≡": r"\equiv", "∝": r"\propto", "≪": r"\ll", "≫": r"\gg", "±": r"\pm", "∓": r"\mp", "×": r"\times", "÷": r"\div", "·": r"\cdot",
    "⋅": r"\cdot", "∗": "*", "∘": r"\circ", "⊗": r"\otimes", "⊕": r"\oplus", "†": r"\dagger", "…": r"\ldots", "⋯": r"\cdots",
    "⋮": r"\vdots", "⋱": r"\ddots", "′": "'", "″": "''", "ℝ": r"\mathbb{R}", "ℕ": r"\mathbb{N}", "ℤ": r"\mathbb{Z}", "ℂ": r"\mathbb{C}",
    "ℓ": r"\ell", "ℏ": r"\hbar", "−": "-", "‖": r"\|", "∥": r"\parallel", "⊥": r"\perp", "⟨": r"\langle", "⟩": r"\rangle", "〈": r"\langle",
    "〉": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "√": r"\surd", "°": r"^{\circ}", "∠": r"\angle",
    "{": r"\{", "}": r"\}", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$", "_": r"\_",
    "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u00a0": " ", "\u2009": r"\,", "\u200a": "", "\u200b": "",
}  # fmt: skip
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh exp log ln lg det dim gcd inf sup lim max min arg deg ker hom Pr".split()
)
_ACCENTS = {
    "^": r"\hat", "ˆ": r"\hat", "˜": r"\tilde", "~": r"\tilde", "∼": r"\tilde", "¯": r"\bar", "‾": r"\bar", "―": r"\bar", "→": r"\vec",
    "⃗": r"\vec", "˙": r"\dot", ".": r"\dot", "¨": r"\ddot", "ˇ": r"\check", "˘": r"\breve", "_": r"\bar", "⏞": r"\overbrace",
}  # fmt: skip
_UNDER = {"_": r"\underline", "‾": r"\underline", "¯": r"\underline", "⏟": r"\underbrace"}
_VARIANTS = {
    "bold": r"\mathbf", "double-struck": r"\mathbb", "script": r"\mathcal", "fraktur": r"\mathfrak", "normal": r"\mathrm",
    "sans-serif": r"\mathsf", "monospace": r"\mathtt", "bold-italic": r"\boldsymbol",
}  # fmt: skip
_DEPTH = 60


def latex(element: Any, depth: int = 0) -> str:
    """LaTeX of a MathML element, without delimiters."""
    name = local_name(element)
    if not name or depth > _DEPTH:
        return ""
    if name in ("mi", "mn", "mo", "mtext", "ms"):
        return _token(element, name)
    if name == "semantics":
        for child in element:
            if local_name(child) == "annotation" and "tex" in (child.get("encoding") or "").lower():
                return (child.text or "").strip()
        return latex(element[0], depth + 1) if len(element) else ""
    if name in ("annotation", "annotation-xml"):
        return ""
    if name == "mspace":
        return " "
    parts = [latex(child, depth + 1) for child in element if local_name(child)]
    if name == "msqrt":
        return rf"\sqrt{{{_joined(parts)}}}"
    if name == "mfrac" and len(parts) == 2:
        return rf"\frac{{{parts[0]}}}{{{parts[1]}}}"
    if name == "mroot" and len(parts) == 2:
        return rf"\sqrt[{parts[1]}]{{{parts[0]}}}"
    if name in ("msup", "msub") and len(parts) == 2:
        return f"{_base(parts[0])}{'^' if name == 'msup' else '_'}{{{parts[1]}}}"
    if name in ("msubsup", "munderover") and len(parts) == 3:
        return f"{_base(parts[0])}_{{{parts[1]}}}^{{{parts[2]}}}"
    if name == "mmultiscripts" and parts:
        return _multiscripts([local_name(child) for child in element if local_name(child)], parts)
    if name == "menclose" and "radical" in (element.get("notation") or ""):
        return rf"\sqrt{{{_joined(parts)}}}"
    if name == "mover" and len(parts) == 2:
        accent = _ACCENTS.get(_plain(element[1]))
        return f"{accent}{{{parts[0]}}}" if accent else f"{_base(parts[0])}^{{{parts[1]}}}"
    if name == "munder" and len(parts) == 2:
        under = _UNDER.get(_plain(element[1]))
        return f"{under}{{{parts[0]}}}" if under else f"{_base(parts[0])}_{{{parts[1]}}}"
    if name == "mfenced":
        inner = f"{(element.get('separators') or ',')[:1]}".join(parts)
        return rf"\left{_fence(element.get('open', '('))}{inner}\right{_fence(element.get('close', ')'))}"
    if name == "mtable":
        return r"\begin{matrix}" + r" \\ ".join(parts) + r"\end{matrix}"
    if name in ("mtr", "mlabeledtr"):
        return " & ".join(parts)
    return _joined(parts)


def _multiscripts(names: list[str], parts: list[str]) -> str:
    """A base with scripts before and after it: `{}_{6}^{12}C` (MathML Core 3.4.3)."""
    middle = names.index("mprescripts") if "mprescripts" in names else len(names)

    def pairs(scripts: list[str]) -> str:
        marked = zip(scripts, "_^" * len(scripts), strict=False)
        return "".join(f"{mark}{{{script}}}" for script, mark in marked if script)

    before = pairs(parts[middle + 1 :])
    return ("{}" + before if before else "") + _base(parts[0]) + pairs(parts[1:middle])


def _token(element: Any, name: str) -> str:
    text = " ".join("".join(element.itertext()).split())
    if not text:
        return ""
    if name in ("mtext", "ms"):
        return r"\text{" + re.sub(r"([{}%#&$_\\])", r"\\\1", text) + "}"
    if text in _FUNCTIONS:
        return "\\" + text
    out = _joined([_SYMBOLS.get(c, c) for c in text])
    variant = _VARIANTS.get(element.get("mathvariant") or "")
    if variant and not (variant == r"\mathrm" and name != "mi"):
        return f"{variant}{{{out}}}"
    return rf"\mathrm{{{out}}}" if name == "mi" and len(text) > 1 and text.isalpha() and text.isascii() else out


def _joined(parts: list[str]) -> str:
    """Side by side; a blank where a command would run into a letter."""
    out = ""
    for part in parts:
        if part and out and part[0].isalpha() and re.search(r"\\[A-Za-z]{1,40}$", out[-42:]):
            out += " "
        out += part
    return out


def _base(text: str) -> str:
    simple = len(text) == 1 or re.fullmatch(r"\\[A-Za-z]{1,40}|\\math[a-z]{1,10}\{[^{}]{1,40}\}", text)
    return text if simple else f"{{{text}}}"


def _plain(element: Any) -> str:
    return "".join(element.itertext()).strip()


def _fence(mark: str) -> str:
    mark = mark.strip()[:1]
    return {"": ".", "{": r"\{", "}": r"\}", "⟨": r"\langle ", "⟩": r"\rangle ", "‖": r"\|"}.get(mark, mark)
