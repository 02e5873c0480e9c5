"""What one run gives, and what rounds of runs amount to."""

import dataclasses
import statistics
from typing import Callable, Optional


@dataclasses.dataclass
class Sample:
    """One run. `client` is the process that asks, `server` the one that serves (0 where there is none)."""

    seconds: float = 0.0
    bytes: int = 0
    items: int = 0
    client_seconds: float = 0.0  # Of processors.
    server_seconds: float = 0.0
    machine_seconds: float = 0.0  # All that the machine's processors did meanwhile; 0: not known.
    peak_mib: float = 0.0  # Of the resident memory of a program that was watched; 0: not known.
    direct: Optional[float] = None  # A figure that is no speed, in the unit of its group.

    def figure(self, unit):
        if self.direct is not None:
            return self.direct
        if unit == "GB/s":
            return self.bytes / self.seconds / 1e9
        if unit == "items/s":
            return self.items / self.seconds
        raise ValueError(f"a run has no figure in {unit}")


@dataclasses.dataclass
class Spread:
    median: float
    low: float
    high: float

    @staticmethod
    def of(values):
        values = list(values)
        return Spread(statistics.median(values), min(values), max(values))


@dataclasses.dataclass
class Goal:
    """A ratio between figures of the same round.

    `subject` and `baseline` take the figures of one round by their keys, so that a baseline may be the lower of two.
    """

    title: str
    subject: Callable[[dict], float]
    baseline: Callable[[dict], float]
    at_least: Optional[float] = None
    at_most: Optional[float] = None  # Neither: shown for comparison.
    constant: Optional[float] = None  # The baseline is this figure, not a measurement: it is shown instead of a ratio.

    def text(self):
        scale, unit = (self.constant, "") if self.constant is not None else (1, " x")
        if self.at_least is not None:
            return f">= {self.at_least * scale:,.10g}{unit}"
        if self.at_most is not None:
            return f"<= {self.at_most * scale:,.10g}{unit}"
        return ""

    def verdict(self, ratio):
        if self.at_least is None and self.at_most is None:
            return ""
        # Nobody measures the fourth digit.
        met = ratio >= self.at_least - 0.0005 if self.at_least is not None else ratio <= self.at_most + 0.0005
        return "met" if met else "missed"


def of(key):
    return lambda figures: figures[key]


def lower(*parts):
    return lambda figures: min(part(figures) for part in parts)


def higher(*keys):
    """Of those that there are: not every file system can do everything."""

    def best(figures):
        there = [figures[key] for key in keys if key in figures]
        if not there:
            raise KeyError(keys)
        return max(there)

    return best


def fixed(value):
    return lambda figures: value


def goal_against(title, subject, baseline, at_least=None):
    return Goal(title, of(subject), of(baseline), at_least=at_least)


def goal_figure(title, subject, at_least=None, at_most=None):
    """A goal that is a figure: the constant becomes the baseline, and the ratio is the figure over it."""
    constant = at_least if at_least is not None else at_most
    return Goal(
        title,
        of(subject),
        fixed(constant),
        at_least=None if at_least is None else 1.0,
        at_most=None if at_most is None else 1.0,
        constant=constant,
    )


@dataclasses.dataclass
class Ratio:
    per_round: Spread
    of_medians: float


def ratio_of(goal, rounds, unit):
    """`rounds`: a dict of samples by key for each round. None where a round lacks what the goal needs."""
    try:
        ratios = []
        for samples in rounds:
            figures = {key: sample.figure(unit) for key, sample in samples.items()}
            ratios.append(goal.subject(figures) / goal.baseline(figures))
        keys = set.intersection(*(set(samples) for samples in rounds))
        medians = {key: statistics.median(samples[key].figure(unit) for samples in rounds) for key in keys}
        return Ratio(Spread.of(ratios), goal.subject(medians) / goal.baseline(medians))
    except (KeyError, TypeError, ZeroDivisionError):
        return None
