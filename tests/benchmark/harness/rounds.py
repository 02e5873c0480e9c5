"""Runs contenders in turn, round after round, so that whatever drifts on the machine drifts for all of them."""

import contextlib
import dataclasses
import subprocess
import sys
import time
from typing import Callable, ContextManager

from harness.figures import Goal, Sample


class LeftOut(Exception):
    """What cannot be measured here; the text says why."""


# What one comparison may run into without being the end of the others.
FAULTS = (OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError)


@dataclasses.dataclass
class Contender:
    key: str
    title: str
    run: Callable[[int], Sample]  # Takes a number that no other run has: what is saved must be new.
    is_cairn: bool = False


@dataclasses.dataclass
class Group:
    """One comparison: contenders that run in turn, and goals between them."""

    case: str
    title: str
    prepare: Callable[[], ContextManager[list]]  # Gives the contenders; what they need lives as long as it.
    goals: list[Goal]
    unit: str = "GB/s"
    rounds: int | None = None  # Other than what the user asked for.
    warmup: bool = True
    settle: float = 0.0  # Seconds of rest before each run: so that nobody gets, or has taken away, memory that the one before freed.
    note: str = ""


@dataclasses.dataclass
class Result:
    group: Group
    contenders: list[Contender]
    rounds: list[dict]  # Samples by key.
    failures: dict  # Reasons by key: such a contender has no samples.
    left_out: str = ""  # Why the whole group was not measured,
    failed: bool = False  # and whether that is a fault.

    def samples(self, key):
        return [samples[key] for samples in self.rounds if key in samples]


def _taking_turns(contenders, number):
    """Each round begins with another one: the first has to find the memory that later ones use again."""
    first = number % len(contenders) if contenders else 0
    return contenders[first:] + contenders[:first]


_next_seed = 0


def new_seed():
    global _next_seed
    _next_seed += 1
    return _next_seed


def run_group(group, rounds, say=lambda text: print(text, file=sys.stderr, flush=True)):
    """A contender that fails once is left out from then on; the others go on."""
    wanted = group.rounds or rounds
    result = Result(group, [], [], {})
    try:
        with contextlib.ExitStack() as stack:
            result.contenders = stack.enter_context(group.prepare())
            for number in range(-1 if group.warmup else 0, wanted):
                samples = {}
                for contender in _taking_turns(result.contenders, number):
                    if contender.key in result.failures:
                        continue
                    time.sleep(group.settle)
                    try:
                        samples[contender.key] = contender.run(new_seed())
                    except (LeftOut, *FAULTS) as error:
                        result.failures[contender.key] = str(error) or repr(error)
                        say(f"  {contender.title}: {error}")
                if number >= 0:
                    result.rounds.append(samples)
                    figures = [f"{key} {sample.figure(group.unit):,.3g}" for key, sample in samples.items()]
                    shown = ", ".join(figures) if len(figures) <= 8 else f"{len(figures)} figures"
                    say(f"  round {number + 1} of {wanted}: {shown} {group.unit}")
    except LeftOut as error:
        result.left_out = str(error)
        say(f"  left out: {error}")
    except FAULTS as error:
        result.left_out, result.failed = f"failed: {error}", True
        say(f"  failed: {error}")
    for samples in result.rounds:
        for key in result.failures:
            samples.pop(key, None)
    return result
