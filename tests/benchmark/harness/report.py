"""The table: for people, as Markdown, and as JSON."""

import dataclasses

from harness import limits
from harness.environment import sentence
from harness.figures import Spread, ratio_of

HEADINGS = ("", "median", "lowest - highest", "processors", "goal", "", "limited by")


@dataclasses.dataclass
class Row:
    """A contender, a ratio between contenders, or (`heading`) the title above them."""

    line: str
    median: str = ""
    spread: str = ""
    cost: str = ""
    goal: str = ""
    verdict: str = ""
    limit: str = ""
    heading: bool = False
    is_cairn: bool = False

    def cells(self):
        return (self.line, self.median, self.spread, self.cost, self.goal, self.verdict, self.limit)


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 20 else f"{value:.2f}"


def cost_of(samples):
    """Processor time of client + server, per GB or per item."""
    if (each := limits.per_unit(samples, lambda sample: sample.items)) is not None:
        return f"{each[0] * 1e6:.1f} + {each[1] * 1e6:.1f} us each"
    if (each := limits.per_unit(samples, lambda sample: sample.bytes / 1e9)) is not None:
        return f"{each[0]:.2f} + {each[1]:.2f} s/GB"
    return ""


def rows_of(result, cores):
    group = result.group
    rows = [Row(f"{group.title} [{group.unit}]", heading=True, limit=group.note)]
    if result.left_out:
        return rows + [Row("left out", limit=result.left_out)]
    for contender in result.contenders:
        samples = result.samples(contender.key)
        if not samples:
            rows.append(Row(contender.title, "failed", limit=result.failures.get(contender.key, "no round was run")))
            continue
        figures = Spread.of(sample.figure(group.unit) for sample in samples)
        rows.append(
            Row(
                contender.title,
                number(figures.median),
                f"{number(figures.low)} - {number(figures.high)}" if len(samples) > 1 else "",
                cost_of(samples),
                limit=limits.word(limits.load_of(samples), cores),
                is_cairn=contender.is_cairn,
            )
        )
    for goal in group.goals:
        ratio = ratio_of(goal, result.rounds, group.unit) if result.rounds else None
        if ratio is None:
            rows.append(Row(f"= {goal.title}", "not measured", goal=goal.text()))
            continue
        verdict = goal.verdict(ratio.per_round.median)
        if goal.constant is not None:
            rows.append(Row(f"= {goal.title}", number(ratio.per_round.median * goal.constant), "", "", goal.text(), verdict))
            continue
        shown = f"{ratio.per_round.low:.2f} - {ratio.per_round.high:.2f}" if len(result.rounds) > 1 else ""
        medians = f"of the medians: {ratio.of_medians:.2f} x"
        rows.append(Row(f"= {goal.title}", f"{ratio.per_round.median:.2f} x", shown, "", goal.text(), verdict, medians))
    return rows


def text_table(results, facts):
    rows = [row for result in results for row in rows_of(result, facts["cores"])]
    widths = [
        max([len(heading)] + [len(row.cells()[i]) for row in rows if not row.heading])
        for i, heading in enumerate(HEADINGS[:-1])
    ]

    def line(cells):
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:4], widths[1:4])]
        padded += [cell.ljust(width) for cell, width in zip(cells[4:6], widths[4:6])]
        return "  ".join([*padded, cells[6]]).rstrip()

    lines = [sentence(facts), "", line(HEADINGS), "-" * (sum(widths) + 2 * len(widths) + 30)]
    for row in rows:
        lines += ["", row.line + (f"  ({row.limit})" if row.limit else "")] if row.heading else [line(row.cells())]
    return "\n".join(lines) + "\n"


def markdown_table(results, facts):
    lines = [sentence(facts), ""]
    for result in results:
        heading, *rows = rows_of(result, facts["cores"])
        lines += [f"**{heading.line}**" + (f" {heading.limit}" if heading.limit else ""), ""]
        lines += ["| " + " | ".join(HEADINGS) + " |", "|---|--:|--:|--:|---|---|---|"]
        for row in rows:
            cells = [cell.replace("|", "\\|") for cell in row.cells()]
            if row.is_cairn:
                cells[0] = f"**{cells[0]}**"
            if row.verdict == "missed":
                cells[5] = "**missed**"
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def as_json(results, facts):
    """Everything that was measured, so that another table can be made of it."""
    groups = []
    for result in results:
        unit = result.group.unit
        contenders = []
        for contender in result.contenders:
            samples = result.samples(contender.key)
            load, cost = limits.load_of(samples), limits.per_unit(samples, lambda sample: sample.bytes / 1e9)
            contenders.append(
                {
                    "key": contender.key,
                    "title": contender.title,
                    "is_cairn": contender.is_cairn,
                    "figures": dataclasses.asdict(Spread.of(s.figure(unit) for s in samples)) if samples else None,
                    "cpu_seconds_per_gb": None if cost is None else {"client": cost[0], "server": cost[1]},
                    "cores": None if load is None else dataclasses.asdict(load),
                    "limited_by": limits.word(load, facts["cores"]),
                    "failure": result.failures.get(contender.key),
                    "samples": [dataclasses.asdict(sample) for sample in samples],
                }
            )
        goals = []
        for goal in result.group.goals:
            ratio = ratio_of(goal, result.rounds, unit) if result.rounds else None
            goals.append(
                {
                    "title": goal.title,
                    "goal": goal.text(),
                    "ratio": None if ratio is None else dataclasses.asdict(ratio),
                    "verdict": "not measured" if ratio is None else goal.verdict(ratio.per_round.median),
                }
            )
        groups.append(
            {
                "case": result.group.case,
                "title": result.group.title,
                "unit": unit,
                "note": result.group.note,
                "left_out": result.left_out,
                "contenders": contenders,
                "goals": goals,
            }
        )
    return {"machine": facts, "groups": groups}
