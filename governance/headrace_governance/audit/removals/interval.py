"""Intervals: Clopper-Pearson for a proportion, and for a stratified sample with unequal weights.

The stratified interval is Korn and Graubard's (Survey Methodology 24, 1998): Clopper and Pearson's with an effective sample size.
The effective size is the smallest that any true proportions could give: with weights W, the variance of the stratified mean is at
most sum W²·p(1-p)/n, at most c·sum W·p(1-p) with c the largest W/n, and that at most c·p(1-p) of the whole. So 1/c draws of a
simple sample vary at least as much, whatever the strata hold, and small strata without a single error do not narrow the interval.
Strata that are judged completely are known and stand outside it. Of those judged in part, that a sample is drawn without
replacement is not used: with Clopper and Pearson's interval, a correction for it errs by up to 20 % at one end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """A stratum: removals in it, cases judged, and those judged right."""

    population: int
    judged: int
    right: int


@dataclass(frozen=True)
class Estimate:
    """A proportion with its interval. `effective` is the size of a simple sample that says as much about the strata that are judged
    in part (infinite if there are none)."""

    value: float
    low: float
    high: float
    effective: float


def clopper_pearson(right: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval; fractional counts are allowed, as effective sizes are fractional."""
    tail = (1 - confidence) / 2
    low = 0.0 if right <= 0 else beta_quantile(tail, right, n - right + 1)
    high = 1.0 if right >= n else beta_quantile(1 - tail, right + 1, n - right)
    return low, high


def stratified(strata: Sequence[Tally], confidence: float = 0.95) -> Estimate:
    """Precision over strata, each weighted by its population.

    A stratum of which nothing is judged counts as all wrong at the lower end and as all right at the upper one.
    """
    total = sum(s.population for s in strata)
    if not total:
        return Estimate(1.0, 1.0, 1.0, math.inf)
    whole = [s for s in strata if s.judged >= s.population]
    parts = [s for s in strata if 0 < s.judged < s.population]
    known, guessed = sum(s.population for s in whole), sum(s.population for s in parts)
    right = float(sum(s.right for s in whole))
    if not known + guessed:
        return Estimate(0.0, 0.0, 1.0, 0.0)
    if not parts:
        value = right / known
        return Estimate(value, right / total, (right + total - known) / total, math.inf)
    share = sum(s.population * s.right / s.judged for s in parts) / guessed
    effective = 1 / max(s.population / guessed / s.judged for s in parts)
    low, high = clopper_pearson(share * effective, effective, confidence)
    value = (right + guessed * share) / (known + guessed)
    unseen = total - known - guessed
    return Estimate(value, (right + guessed * min(low, share)) / total, (right + guessed * max(high, share) + unseen) / total, effective)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x at which the regularised incomplete beta function is `probability`, by bisection to the last bit of a double."""
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if incomplete_beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (Press et al., Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 10_000):
        for step in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / _away(1 + step * d, tiny)
            c = _away(1 + step / c, tiny)
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction


def _away(x: float, tiny: float) -> float:
    return x if abs(x) > tiny else tiny
