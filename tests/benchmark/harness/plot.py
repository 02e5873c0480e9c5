"""The figures as bars, in one SVG. Takes what report.as_json gives, so that a plot can be made again later."""

CAIRN, OTHERS = "#1b7f79", "#b9bec4"


def write_svg(report, path):
    """False where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # Text that can be read and searched.
    matplotlib.rcParams["svg.hashsalt"] = "cairn"
    from matplotlib import pyplot

    groups = [group for group in report["groups"] if any(c["figures"] for c in group["contenders"])]
    if not groups:
        return True
    bars = [sum(1 for c in group["contenders"] if c["figures"]) for group in groups]
    figure, axes = pyplot.subplots(
        len(groups),
        1,
        figsize=(10, sum(0.32 * count + 0.9 for count in bars)),
        gridspec_kw={"height_ratios": [count + 2 for count in bars]},
        squeeze=False,
        layout="constrained",
    )
    for axis, group in zip(axes[:, 0], groups):
        shown = [c for c in group["contenders"] if c["figures"]]
        medians = [c["figures"]["median"] for c in shown]
        below = [c["figures"]["median"] - c["figures"]["low"] for c in shown]
        above = [c["figures"]["high"] - c["figures"]["median"] for c in shown]
        axis.barh(
            [c["title"] for c in shown],
            medians,
            xerr=[below, above],
            color=[CAIRN if c["is_cairn"] else OTHERS for c in shown],
            error_kw={"elinewidth": 1, "ecolor": "#444444"},
        )
        axis.invert_yaxis()
        axis.set_title(f"{group['title']} [{group['unit']}]", loc="left", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True
