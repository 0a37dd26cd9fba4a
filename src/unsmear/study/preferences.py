"""What people prefer: shares with confidence intervals, and who wins against whom.

Conventions. A question shows the restorations of one photo by several models, and one of them is
chosen as the best. A model's share is how often it was chosen among the questions that showed it
and were decided; "no difference" is counted apart. The interval is Wilson's at 95 %, which takes
answers as independent: answers of one person, or to one photo, are less so, and with few people or
photos the truth may lie outside more often than one time in twenty. Who is chosen wins against
everyone else shown; the others do not win against each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from unsmear.study.answers import Answer

# Two-sided 95 % of the normal distribution.
DEVIATIONS_OF_95 = 1.959964


class Preference(NamedTuple):
    """How often a model was chosen.

    Attributes:
        model: its name.
        chosen: decided questions in which it was chosen.
        shown: decided questions that showed it.
        share: chosen / shown; NaN where it was never shown.
        low: lower end of the share's interval.
        high: upper end.
    """

    model: str
    chosen: int
    shown: int
    share: float
    low: float
    high: float


class Preferences(NamedTuple):
    """A study's result.

    Attributes:
        models: a row for each, the most preferred first.
        wins: wins[a][b] counts the decided questions that showed both in which a was chosen.
        decided: questions in which a model was chosen.
        undecided: questions answered with "no difference".
        people: how many answered.
        photos: how many were asked about.
    """

    models: tuple[Preference, ...]
    wins: dict[str, dict[str, int]]
    decided: int
    undecided: int
    people: int
    photos: int


def wilson_interval(
    chosen: int, shown: int, deviations: float = DEVIATIONS_OF_95
) -> tuple[float, float]:
    """Wilson's score interval of a share: its ends, in [0, 1].

    Args:
        chosen: successes.
        shown: trials; with none the interval is everything.
        deviations: of the normal distribution; the default gives 95 %.
    """
    if shown == 0:
        return 0.0, 1.0
    share, square = chosen / shown, deviations**2
    middle = (share + square / (2 * shown)) / (1 + square / shown)
    spread = math.sqrt(share * (1 - share) / shown + square / (4 * shown**2))
    reach = deviations * spread / (1 + square / shown)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def preferences(answers: Sequence[Answer]) -> Preferences:
    """Count answers; see above for the conventions."""
    decided = [answer for answer in answers if answer.choice is not None]
    names = sorted({model for answer in answers for model in answer.shown})
    shown = Counter(model for answer in decided for model in answer.shown)
    chosen = Counter(answer.choice for answer in decided)
    rows = [
        Preference(
            model,
            chosen[model],
            shown[model],
            chosen[model] / shown[model] if shown[model] else math.nan,
            *wilson_interval(chosen[model], shown[model]),
        )
        for model in names
    ]
    wins = {a: {b: 0 for b in names if b != a} for a in names}
    for answer in decided:
        for other in answer.shown:
            if answer.choice is not None and other != answer.choice:
                wins[answer.choice][other] += 1
    return Preferences(
        tuple(sorted(rows, key=lambda row: (math.isnan(row.share), -row.share, row.model))),
        wins,
        len(decided),
        len(answers) - len(decided),
        len({answer.person for answer in answers}),
        len({answer.photo for answer in answers}),
    )
