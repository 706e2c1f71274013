"""How well scores tell good from bad: AUC with DeLong's 95 % interval, precision and recall at each cut.

DeLong et al. (1988) give the variance of an AUC from its placement values; Sun & Xu (2014) compute those from ranks. The interval takes
texts as independent, so an evaluation holds one passage of a document.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Z = 1.959963984540054
LOWEST = -1e9
"""Where the last tier begins."""


def auc(positive: _Floats, negative: _Floats) -> dict[str, Any]:
    """`auc`, its 95 % interval `low` to `high`, and the sizes."""
    m, n = len(positive), len(negative)
    every = _ranks(np.concatenate([positive, negative]))
    above = (every[:m] - _ranks(positive)) / n  # share of negatives that a positive beats
    below = 1 - (every[m:] - _ranks(negative)) / m  # share of positives that beat a negative
    value = float(above.mean())
    variance = (float(above.var(ddof=1)) / m if m > 1 else 0.0) + (float(below.var(ddof=1)) / n if n > 1 else 0.0)
    half = _Z * sqrt(variance)
    return {
        "auc": round(value, 4),
        "low": round(max(0.0, value - half), 4),
        "high": round(min(1.0, value + half), 4),
        "positive": m,
        "negative": n,
    }


def _ranks(values: _Floats) -> _Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def operating_table(positive: _Floats, negative: _Floats, cuts: dict[str, float]) -> list[dict[str, Any]]:
    """What keeping each tier and those above it keeps: share of good and bad texts, and how many of the kept are good."""
    rows = []
    for tier, cut in cuts.items():
        good, bad = int((positive >= cut).sum()), int((negative >= cut).sum())
        rows.append(
            {
                "tier": tier,
                "from_score": round(cut, 6),
                "recall": round(good / len(positive), 4),
                "precision": round(good / max(1, good + bad), 4),
                "bad_kept": round(bad / len(negative), 4),
            }
        )
    return rows


def tier_cuts(scores: _Floats, tiers: dict[str, float]) -> dict[str, float]:
    """Tier → lowest score, best first, so that each holds its share of the reference."""
    cuts, above = {}, 0.0
    for tier, share in tiers.items():
        above += share
        cuts[tier] = float(np.quantile(scores, max(0.0, 1 - above), method="higher"))
    return {**cuts, list(tiers)[-1]: LOWEST}
