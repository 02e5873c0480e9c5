"""The arithmetic and the tables of the benchmark."""

import contextlib
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import limits, options, plot, report, rounds
from harness.figures import Goal, Sample, Spread, goal_against, goal_figure, higher, lower, of, ratio_of

FACTS = {
    "cpu": "a processor",
    "cores": 2,
    "memory_gib": 24,
    "kernel": "6.1",
    "tcp_congestion_control": "reno",
    "cairnd": "cairnd 0",
    "commit": "abc",
    "date": "today",
    "load_average": 0.1,
    "python": "3",
    "packages": {"pyarrow": "1", "torch": None},
}


def sample(gb_per_second, **more):
    return Sample(seconds=1.0, bytes=int(gb_per_second * 1e9), **more)


def group(contenders, goals, **more):
    return rounds.Group("case", "a title", lambda: contextlib.nullcontext(contenders), goals, **more)


def scripted(key, figures, is_cairn=False):
    """A contender whose runs give these figures; an exception is raised."""
    left = list(figures)

    def run(_):
        figure = left.pop(0)
        if isinstance(figure, Exception):
            raise figure
        return sample(figure)

    return rounds.Contender(key, f"the {key}", run, is_cairn)


def run(contenders, goals, count, **more):
    return rounds.run_group(group(contenders, goals, **more), count, say=lambda _: None)


def test_a_spread_is_the_median_and_the_ends():
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_a_ratio_compares_figures_of_the_same_round():
    # The machine becomes half as fast for the second and third round: the ratio stays, that of the medians as well.
    measured = [{"ours": sample(a), "theirs": sample(b)} for a, b in [(8, 10), (4, 5), (4, 5)]]
    ratio = ratio_of(goal_against("", "ours", "theirs"), measured, "GB/s")
    assert ratio.per_round.low == pytest.approx(0.8) and ratio.per_round.high == pytest.approx(0.8)
    assert ratio.of_medians == pytest.approx(0.8)


def test_a_baseline_may_be_the_lower_of_the_wire_and_the_best_way_to_the_disk():
    goal = Goal("", of("ours"), lower(of("wire"), higher("direct", "buffered")), at_least=0.85)
    measured = [{"ours": sample(2), "wire": sample(3), "direct": sample(2.5), "buffered": sample(1)}]
    assert ratio_of(goal, measured, "GB/s").per_round.median == pytest.approx(0.8)
    measured = [{"ours": sample(2), "wire": sample(3), "buffered": sample(4)}]  # No O_DIRECT here.
    assert ratio_of(goal, measured, "GB/s").per_round.median == pytest.approx(2 / 3)


def test_a_ratio_without_its_baseline_is_not_made_up():
    goal = goal_against("", "ours", "theirs", 1.0)
    assert ratio_of(goal, [{"ours": sample(2)}], "GB/s") is None
    assert ratio_of(Goal("", of("ours"), higher("a", "b")), [{"ours": sample(2)}], "GB/s") is None


@pytest.mark.parametrize(
    ("goal", "ratio", "verdict"),
    [
        (goal_against("", "a", "b", 0.8), 0.8, "met"),
        (goal_against("", "a", "b", 0.8), 0.79, "missed"),
        (goal_against("", "a", "b"), 0.1, ""),
        (goal_figure("", "a", at_least=50_000), 49_000 / 50_000, "missed"),
        (goal_figure("", "a", at_most=256), 255 / 256, "met"),
        (goal_figure("", "a", at_most=256), 257 / 256, "missed"),
    ],
)
def test_a_missed_goal_is_called_missed(goal, ratio, verdict):
    assert goal.verdict(ratio) == verdict


def test_contenders_run_in_turn_after_a_round_that_does_not_count():
    order = []

    def contender(key):
        return rounds.Contender(key, key, lambda seed: order.append((key, seed)) or sample(1))

    result = run([contender("a"), contender("b")], [], 2)
    assert [key for key, _ in order] == ["b", "a"] + ["a", "b"] + ["b", "a"], "each begins a round in turn"
    assert len({seed for _, seed in order}) == 6, "what is saved must be new each time"
    assert len(result.rounds) == 2


def test_a_contender_that_fails_is_left_out_and_the_others_go_on():
    contenders = [scripted("good", [1, 2, 3]), scripted("bad", [1, 1, RuntimeError("no disk")])]
    result = run(contenders, [goal_against("good / bad", "good", "bad", 1.0)], 3, warmup=False)
    assert [s.bytes for s in result.samples("good")] == [1e9, 2e9, 3e9]
    assert result.samples("bad") == [] and result.failures == {"bad": "no disk"}
    text = report.text_table([result], FACTS)
    assert "failed" in text and "no disk" in text and "not measured" in text


def test_a_group_that_cannot_run_says_why():
    def impossible():
        raise rounds.LeftOut("nothing to write to")

    result = rounds.run_group(rounds.Group("case", "a title", impossible, []), 1, say=lambda _: None)
    assert "nothing to write to" in report.text_table([result], FACTS)


def test_a_group_whose_preparation_fails_is_a_failure():
    def broken():
        raise RuntimeError("cairnd did not start")

    result = rounds.run_group(rounds.Group("case", "a title", broken, []), 1, say=lambda _: None)
    assert result.failed and "cairnd did not start" in report.text_table([result], FACTS)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (limits.Load(0.6, 1.3, 0.05), "both cores: client 0.6 + server 1.3"),
        (limits.Load(0.2, 0.95, 0.0), "processor of the server: client 0.2 + server 0.9"),
        (limits.Load(0.99, 0.2, 0.0), "processor of the client: client 1.0 + server 0.2"),
        (limits.Load(1.0, 0.0, 0.0), "one processor: 1.0 cores"),
        (limits.Load(0.1, 0.1, 0.0), "waits (disk or peer): client 0.1 + server 0.1"),
        (limits.Load(0.4, 0.4, 0.1), "waits in part: client 0.4 + server 0.4"),
        (limits.Load(0.5, 0.5, 0.9), "all cores, 0.9 of 2 by others: client 0.5 + server 0.5"),
        (limits.Load(0.1, 0.1, 0.5), "waits (disk or peer): client 0.1 + server 0.1; others took 0.5"),
        (None, ""),
    ],
)
def test_the_word_on_the_limit_names_who_is_busy(load, expected):
    assert limits.word(load, 2) == expected


def test_what_others_took_is_what_is_left_of_the_machine():
    load = limits.load_of([sample(1, client_seconds=0.3, server_seconds=0.5, machine_seconds=1.4)])
    assert (load.client, load.server, load.others) == (0.3, 0.5, pytest.approx(0.6))


def test_processor_time_is_per_gb_or_per_item():
    assert report.cost_of([sample(2, client_seconds=0.5, server_seconds=1.0)]) == "0.25 + 0.50 s/GB"
    many = Sample(seconds=1, bytes=1000, items=1000, client_seconds=0.002, server_seconds=0.01)
    assert report.cost_of([many]) == "2.0 + 10.0 us each"
    assert report.cost_of([Sample(direct=5)]) == ""


def test_tables_and_json_show_every_figure_and_every_goal(tmp_path):
    contenders = [scripted("ours", [1.0, 1.2, 1.1], is_cairn=True), scripted("theirs", [2.0, 2.0, 2.0])]
    goals = [goal_against("ours / theirs", "ours", "theirs", 0.8), goal_figure("ours, at least", "ours", at_least=1.0)]
    result = run(contenders, goals, 3, warmup=False)
    text = report.text_table([result], FACTS)
    line = next(line for line in text.splitlines() if line.startswith("= ours / theirs"))
    assert line.split() == "= ours / theirs 0.55 x 0.50 - 0.60 >= 0.8 x missed of the medians: 0.55 x".split()
    assert "1.00 - 1.20" in text and "TCP with reno" in text and "pyarrow 1" in text and "torch" not in text
    markdown = report.markdown_table([result], FACTS)
    assert "| **the ours** | 1.10 |" in markdown and "| **missed** |" in markdown
    data = json.loads(json.dumps(report.as_json([result], FACTS)))
    assert [goal["verdict"] for goal in data["groups"][0]["goals"]] == ["missed", "met"]
    assert len(data["groups"][0]["contenders"][0]["samples"]) == 3
    if plot.write_svg(data, tmp_path / "plot.svg"):
        assert "the theirs" in (tmp_path / "plot.svg").read_text()


def parse(*arguments):
    return options.parse(["--bin", "bin", *arguments], ["put", "get", "load"])


def test_sizes_have_units_and_quick_is_small():
    assert parse("--size", "16MiB").size == 16 << 20
    assert parse().size == 4 << 30 and parse("--quick").size == 256 << 20
    assert parse("--quick", "--size", "1GiB").size == 1 << 30
    for wrong in ("16MB2", "x", "1500KiB"):
        with pytest.raises(SystemExit):
            parse("--size", wrong)


def test_cases_are_chosen_by_name():
    assert parse("--cases", "put,load").cases == ["put", "load"]
    assert parse("--cases", "all,-get").cases == ["put", "load"]
    with pytest.raises(SystemExit):
        parse("--cases", "putt")
