"""What LaTeX's commands and environments are, for the conversion: tables only."""

from __future__ import annotations

ACCENTS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "=": "\u0304", ".": "\u0307",
    "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328", "r": "\u030a", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
SYMBOLS = {
    "ss": "ß", "o": "ø", "O": "Ø", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å", "l": "ł", "L": "Ł", "i": "ı", "j": "ȷ",
    "dh": "ð", "DH": "Ð", "th": "þ", "TH": "Þ", "ldots": "…", "dots": "…", "textellipsis": "…", "S": "§", "P": "¶", "dag": "†", "ddag": "‡",
    "copyright": "©", "textcopyright": "©", "textregistered": "®", "texttrademark": "™", "pounds": "£", "euro": "€", "texteuro": "€",
    "textdegree": "°", "textmu": "µ", "LaTeX": "LaTeX", "TeX": "TeX", "BibTeX": "BibTeX", "LaTeXe": "LaTeX2e", "textbackslash": "\\",
    "textasciitilde": "~", "textasciicircum": "^", "textunderscore": "_", "textbar": "|", "textless": "<", "textgreater": ">",
    "textendash": "–", "textemdash": "—", "textquoteleft": "‘", "textquoteright": "’", "textquotedblleft": "“", "textquotedblright": "”",
    "textbullet": "•", "textperiodcentered": "·", "quad": " ", "qquad": " ", "space": " ", "newline": " ", "linebreak": " ", "hfill": " ",
    "enspace": " ", "thinspace": " ", "par": "\n\n", "medskip": "\n\n", "bigskip": "\n\n", "smallskip": "\n\n", "newpage": "\n\n",
    "clearpage": "\n\n", "slash": "/", "lbrace": "{", "rbrace": "}", "textquotesingle": "'", "guillemotleft": "«", "guillemotright": "»",
    "textperthousand": "‰", "perthousand": "‰", "textpertenthousand": "‱", "textohm": "Ω", "textmho": "℧", "ohm": "Ω", "textcelsius": "℃",
    "celsius": "℃", "degree": "°", "micro": "µ", "EUR": "€", "textsterling": "£", "textdollar": "$", "textyen": "¥", "textcent": "¢",
    "textcurrency": "¤", "textwon": "₩", "textnaira": "₦", "textpeso": "₱", "textlira": "₤", "textbaht": "฿", "textdong": "₫",
    "textonehalf": "½", "textonequarter": "¼", "textthreequarters": "¾", "textonesuperior": "¹", "texttwosuperior": "²",
    "textthreesuperior": "³", "texttimes": "×", "textdiv": "÷", "textpm": "±", "textminus": "−", "textsurd": "√", "textlnot": "¬",
    "textfractionsolidus": "⁄", "textsection": "§", "textparagraph": "¶", "textnumero": "№", "textordmasculine": "º",
    "textordfeminine": "ª",
    "textestimated": "℮", "textreferencemark": "※", "textinterrobang": "‽", "textquestiondown": "¿", "textexclamdown": "¡",
    "textbraceleft": "{", "textbraceright": "}", "textdagger": "†", "textdaggerdbl": "‡", "textrightarrow": "→", "textleftarrow": "←",
    "textuparrow": "↑", "textdownarrow": "↓", "textasciigrave": "`", "textvisiblespace": "␣", "ng": "ŋ", "NG": "Ŋ", "dj": "đ", "DJ": "Đ",
    "SS": "SS",
}  # fmt: skip
DROPPED = {
    name: arguments
    for arguments, names in {
        0: "maketitle tableofcontents listoffigures listoftables appendix noindent indent centering raggedright raggedleft footnotemark "
        "printbibliography protect hline toprule midrule bottomrule endhead endfirsthead endfoot endlastfoot frontmatter mainmatter "
        "backmatter makeatletter makeatother normalsize small footnotesize scriptsize tiny large Large LARGE huge Huge onecolumn "
        "twocolumn sloppy relax xspace today",
        1: "label vspace hspace bibliography bibliographystyle nocite index pagestyle thispagestyle usepackage RequirePackage "
        "documentclass hypersetup graphicspath thanks author affiliation affil altaffiliation address email institute institution date "
        "pacs cline cmidrule phantom hphantom vphantom color markright pagenumbering addbibresource includegraphics includepdf "
        "newcounter stepcounter refstepcounter bibitem glsresetall acknowledgmentsname theoremstyle selectlanguage orcid authorrunning "
        "titlerunning keywordsname setstretch linespread lstset usetikzlibrary sisetup MakeShortVerb "
        "sout xout st deleted "
        "DeleteShortVerb lstMakeShortInline lstDeleteShortInline inputencoding "
        "allowdisplaybreaks preprint received accepted",
        2: "DeclareSIUnit setlength addtolength setcounter addtocounter markboth rule fontsize definecolor[ newlength captionsetup "
        "numberwithin",
        3: "addcontentsline definecolor setkeys",
    }.items()
    for name in names.split()
}
"""Command → how many arguments go with it."""
CITATIONS = frozenset(
    (
        "cite citep citet citeauthor citeyear citeyearpar citealt citealp citen citenum parencite textcite autocite footcite fullcite "
        "Cite Citet Citep onlinecite supercite ref eqref pageref autoref cref Cref nameref vref prettyref subref citetext"
    ).split()
)
"""What points elsewhere: cut, with the tie before it."""
KEPT_ARGUMENT = {
    "textcolor": 2, "colorbox": 2, "scalebox": 2, "raisebox": 2, "parbox": 2, "resizebox": 3, "rotatebox": 2, "fcolorbox": 3, "href": 2,
    "multirow": 3, "multicolumn": 3, "texorpdfstring": 1, "makebox": 1, "framebox": 1, "foreignlanguage": 2, "ifthenelse": 3,
    "adjustbox": 2, "hyperref": 1, "hyperlink": 2, "hypertarget": 2, "textsuperscript": 1, "textsubscript": 1, "enquote": 1,
    "url": 1, "nolinkurl": 1, "ensuremath": 1,
}  # fmt: skip
"""Command → which of its arguments is text; the ones before it are dropped."""
STYLES = {
    "textbf": "**", "textit": "*", "emph": "*", "textsl": "*", "texttt": "`", "lstinline": "`", "mintinline": "`",
    "bf": "**", "bfseries": "**", "it": "*", "itshape": "*", "em": "*", "sl": "*", "tt": "`", "ttfamily": "`",
}  # fmt: skip
MATH_ENVIRONMENTS = frozenset(
    (
        "equation align gather multline eqnarray displaymath math alignat flalign xalignat IEEEeqnarray dmath subequations split aligned "
        "array dgroup empheq"
    ).split()
)
DROPPED_ENVIRONMENTS = frozenset(
    (
        "thebibliography tikzpicture picture pgfpicture pspicture forest CCSXML keywords IEEEkeywords filecontents comment "
        "feynmandiagram feynman axis scope references biblist lrbox overpic psfrags tikzcd"
    ).split()
)
TABULARS = {"tabular": 1, "tabular*": 2, "tabularx": 2, "tabulary": 2, "longtable": 1, "supertabular": 1, "xtabular": 1, "deluxetable": 1}
"""Table environment → how many arguments before its rows."""
FLOATS = {"figure": "Figure", "wrapfigure": "Figure", "SCfigure": "Figure", "subfigure": "Figure", "table": "Table", "wraptable": "Table",
          "sidewaystable": "Table", "sidewaysfigure": "Figure", "algorithm": "Algorithm", "listing": "Listing",
          "teaserfigure": "Figure"}  # fmt: skip
THEOREMS = {
    "theorem": "Theorem", "thm": "Theorem", "lemma": "Lemma", "lem": "Lemma", "proposition": "Proposition", "prop": "Proposition",
    "corollary": "Corollary", "cor": "Corollary", "definition": "Definition", "defn": "Definition", "remark": "Remark", "rem": "Remark",
    "example": "Example", "proof": "Proof", "claim": "Claim", "conjecture": "Conjecture", "assumption": "Assumption",
    "exercise": "Exercise",
}  # fmt: skip
