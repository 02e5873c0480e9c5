"""A word on what a run waited for, from the processor time that it used."""

import dataclasses
import statistics

BUSY = 0.85  # Share of a core from which on it counts as busy.
DISTURBED = 0.15  # Share of the machine that others may have before a figure is marked.


@dataclasses.dataclass
class Load:
    """Cores in use, on average over the run."""

    client: float
    server: float
    others: float


def load_of(samples):
    """The medians over the rounds; None for figures that are no runs."""
    samples = [sample for sample in samples if sample.seconds > 0]
    if not samples:
        return None

    def median(part):
        return statistics.median(part(sample) for sample in samples)

    return Load(
        client=median(lambda s: s.client_seconds / s.seconds),
        server=median(lambda s: s.server_seconds / s.seconds),
        others=median(lambda s: max(0.0, s.machine_seconds - s.client_seconds - s.server_seconds) / s.seconds),
    )


def per_unit(samples, units):
    """(client, server) processor seconds per unit, of which `units` says how many a sample has; None if there are none."""
    samples = [sample for sample in samples if sample.seconds > 0 and units(sample) > 0]
    if not samples:
        return None
    return (
        statistics.median(sample.client_seconds / units(sample) for sample in samples),
        statistics.median(sample.server_seconds / units(sample) for sample in samples),
    )


def word(load, cores):
    """For example "both cores: client 0.6 + server 1.3"."""
    if load is None:
        return ""
    ours = load.client + load.server
    disturbed = load.others > DISTURBED * cores
    share = f"client {load.client:.1f} + server {load.server:.1f}" if load.server >= 0.05 else f"{load.client:.1f} cores"
    if ours > BUSY * cores:
        text = f"{'both' if cores == 2 else f'all {cores}'} cores: {share}"
    elif disturbed and ours + load.others > BUSY * cores:
        text = f"all cores, {load.others:.1f} of {cores} by others: {share}"
    elif load.server >= BUSY and load.server >= load.client:
        text = f"processor of the server: {share}"
    elif load.client >= BUSY:
        text = f"processor of the client: {share}" if load.server >= 0.05 else f"one processor: {share}"
    elif ours < 0.5:
        text = f"waits (disk or peer): {share}"
    else:
        text = f"waits in part: {share}"
    if disturbed and "others" not in text:
        text += f"; others took {load.others:.1f}"
    return text
