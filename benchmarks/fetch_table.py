"""The JSON of fetch.py as a page: machine, the goals with met or not met, then the details.

A row that was not measured has no lines; nothing is computed from rows that are missing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from comparison import Line, Rows, columns, measured_on, packages, table
from fetch_engines import LOCAL, OURS, PEER

# What issue 3 asks for.
GOAL_EXCLUDED, GOAL_INCLUDED, GOAL_OVER_LIMIT, GOAL_REFUSED = 0.55, 0.45, 1.25, 0.40
GOAL_MEMORY_MB, GOAL_SLOW, GOAL_SCALING, GOAL_SSIM = 400, 2.0, 0.90, 0.98
PEER_DECODER, OUR_DECODER = "img2dataset Resizer", "diagonal decode_image"


def as_markdown(result: Mapping[str, Any]) -> str:
    """The whole page."""
    rows = result["rows"]
    lines = [line for part in PARTS for line in part(rows)]
    parts = [
        "# Fetching: Diagonal against img2dataset",
        f"Machine: {result['machine']}. Versions: {packages(result)}.",
        measured_on(rows),
        "CPU is of the whole process tree, the server's is apart. `make bench WHAT=fetch` measures "
        "again; read ratios rather than seconds.",
        table(PEER, lines),
        *_details(rows),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cost_line(measure: str, peer: float, ours: float, goal: float | None) -> Line:
    if min(peer, ours) <= 0:
        # Differences of runs that were too short.
        return Line(measure=measure, peer=f"{peer:.2f}", ours=f"{ours:.2f}", ratio="below noise")
    ratio = ours / peer
    return Line(
        measure=measure,
        peer=f"{peer:.2f}",
        ours=f"{ours:.2f}",
        ratio=f"{ratio:.2f}",
        goal="" if goal is None else f"≤ {goal:.2f} of the peer",
        met=None if goal is None else ratio <= goal,
    )


def _base_lines(rows: Rows) -> Iterator[Line]:
    if "base" not in rows:
        return
    base, programs = rows["base"], rows["base"]["programs"]
    peer, ours, local = (programs[name] for name in (PEER, OURS, LOCAL))
    count = f"{base['images']:,} images"
    for key, words, goal in (
        ("cpu_ms_excluded", "start-up excluded", GOAL_EXCLUDED),
        ("cpu_ms_included", f"start-up included, {count}", GOAL_INCLUDED),
    ):
        yield _cost_line(f"CPU ms per image, {words}", peer[key], ours[key], goal)
        yield _cost_line("the same, ours with `--local`", peer[key], local[key], None)
    yield Line(
        measure="peak memory of the largest process, MB RSS",
        peer=f"{peer['max_rss_mb']:,}",
        ours=f"{ours['max_rss_mb']:,}",
        ratio=f"{ours['max_rss_mb'] / peer['max_rss_mb']:.2f}",
        goal=f"≤ {GOAL_MEMORY_MB} MB",
        met=ours["max_rss_mb"] <= GOAL_MEMORY_MB,
    )
    yield Line(
        measure="the same, MB PSS",
        peer=f"{peer['max_pss_mb']:,}",
        ours=f"{ours['max_pss_mb']:,}",
        ratio=f"{ours['max_pss_mb'] / peer['max_pss_mb']:.2f}",
    )


def _limit_lines(rows: Rows) -> Iterator[Line]:
    if not {"base", "limits"} <= rows.keys():
        return
    cpu_ms = {name: kinds["all"] for name, kinds in rows["limits"]["cpu_ms"].items()}
    best = best_stock(cpu_ms)
    peer, ours = (rows["base"]["programs"][name]["cpu_ms_excluded"] for name in (PEER, OURS))
    over = ours / cpu_ms[best]
    if min(peer, ours) <= 0:
        return
    yield Line(
        measure=f"CPU over the stock limit of decode + resize + encode ({best})",
        peer=f"{peer / cpu_ms[best]:.2f}×",
        ours=f"{over:.2f}×",
        goal=f"≤ {GOAL_OVER_LIMIT}×",
        met=over <= GOAL_OVER_LIMIT,
    )
    yield Line(
        measure="CPU over the program's own decode + resize + encode",
        peer=f"{peer / cpu_ms[PEER_DECODER]:.2f}×",
        ours=f"{ours / cpu_ms[OUR_DECODER]:.2f}×",
    )


def best_stock(cpu_ms: Mapping[str, float]) -> str:
    """The cheapest engine that is neither program's own."""
    stock = cpu_ms.keys() - {PEER_DECODER, OUR_DECODER}
    return min(sorted(stock), key=lambda name: cpu_ms[name])


def _refused_lines(rows: Rows) -> Iterator[Line]:
    if "refused" not in rows:
        return
    peer, ours = (rows["refused"]["programs"][name] for name in (PEER, OURS))
    for key, words, goal in (
        ("cpu_ms_excluded", "start-up excluded", GOAL_REFUSED),
        ("cpu_ms_included", "start-up included", None),
    ):
        measure = f"CPU ms per image, 40 % refused, {words}"
        yield _cost_line(measure, peer[key], ours[key], goal)


def _slow_lines(rows: Rows) -> Iterator[Line]:
    if "slow" not in rows:
        return
    programs = rows["slow"]["programs"]
    key = "kept_per_second_included"
    best = max((name for name in programs if name != OURS), key=lambda name: programs[name][key])
    for key, words, goal in (
        ("kept_per_second_included", "start-up included", GOAL_SLOW),
        ("kept_per_second_excluded", "start-up excluded", None),
    ):
        peer, ours = programs[best][key], programs[OURS][key]
        yield Line(
            measure=f"slow web, images kept per second of wall, {words} ({best})",
            peer=f"{peer:.1f}",
            ours=f"{ours:.1f}",
            ratio=f"{ours / peer:.2f}×",
            goal="" if goal is None else f"≥ {goal:g}×",
            met=None if goal is None else ours / peer >= goal,
        )


def _scaling_lines(rows: Rows) -> Iterator[Line]:
    for workers, efficiency in rows.get("scaling", {}).get("efficiency", {}).items():
        if workers != "1":
            rate = rows["scaling"]["answers_per_second"][workers]
            yield Line(
                measure=f"efficiency of {workers} workers, latency-bound",
                peer="",
                ours=f"{efficiency:.0%} ({rate:.1f} images/s)",
                goal=f"≥ {GOAL_SCALING:.0%}",
                met=efficiency >= GOAL_SCALING,
            )


def _quality_lines(rows: Rows) -> Iterator[Line]:
    if "quality" not in rows:
        return
    found = rows["quality"]
    yield Line(
        measure=f"SSIM against img2dataset's output, mean of {found['compared']} images",
        peer="",
        ours=f"{found['ssim_mean']:.4f} (p5 {found['ssim_p5']:.4f}, min {found['ssim_min']:.4f})",
        goal=f"≥ {GOAL_SSIM}",
        met=found["ssim_mean"] >= GOAL_SSIM,
    )


PARTS = (_base_lines, _limit_lines, _refused_lines, _slow_lines, _scaling_lines, _quality_lines)


def _details(rows: Rows) -> Iterator[str]:
    """What the lines above were made of."""
    for name in ("base", "refused"):
        if name in rows:
            yield _programs(name, rows[name])
    if "slow" in rows:
        yield _slow_details(rows["slow"])
    if "limits" in rows:
        yield _limits_details(rows["limits"])
    if "scaling" in rows:
        yield (
            "## Scaling\n\nRay workers with "
            f"{rows['scaling']['in_flight_per_worker']} requests in flight each, "
            f"{rows['scaling']['images_per_worker']} images per worker; answers per second between "
            "the 20th and the 80th percentile of the answers, by the server's clock."
        )
    if "quality" in rows:
        found = rows["quality"]
        yield (
            f"## Quality\n\n{found['compared']} pairs by URL; {found['skipped_turned']} with an "
            f"EXIF orientation left out (img2dataset ignores it), {found['other_size']} of another "
            "size."
        )


def _programs(name: str, row: Mapping[str, Any]) -> str:
    corpus = row["corpus"]
    shares = ", ".join(f"{share:.0%} {kind}" for kind, share in sorted(corpus["shares"].items()))
    return "\n\n".join(
        [
            f"## {name.capitalize()}",
            f"{corpus['images']:,} files: {shares}; {corpus['progressive_share_of_jpeg']:.0%} of "
            f"the JPEG progressive; median {corpus['median_width']:.0f}×"
            f"{corpus['median_height']:.0f} and {corpus['median_kilobytes']} kB, mean "
            f"{corpus['mean_kilobytes']} kB and {corpus['mean_megapixels']} megapixels. Medians of "
            f"{row['repeats']} pairs of runs, of {row['images']:,} and {row['small']} images; "
            f"start-up is excluded by their difference. {_told(row['settings'])}",
            columns(row["programs"]),
        ]
    )


def _slow_details(row: Mapping[str, Any]) -> str:
    return "\n\n".join(
        [
            "## Slow web",
            f"{row['images']:,} URLs on {row['hosts']} loopback hosts: latency log-normal with "
            "median 150 ms and sigma 0.5; 8 % never answer, 10 % are 404, 3 % have no address. "
            "Start-up is excluded by the wall clock of a run of 8 good URLs. "
            f"{_told(row['settings'])}",
            columns(row["programs"]),
        ]
    )


def _told(settings: Mapping[str, Any]) -> str:
    given = ", ".join(
        f"{name} {value if value is not None else 'default'}" for name, value in settings.items()
    )
    return f"Settings: resize mode keep_ratio, no retries, {given}."


def _limits_details(row: Mapping[str, Any]) -> str:
    kinds = list(next(iter(row["cpu_ms"].values())))
    head = f"| CPU ms per image | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}"
    body = [
        f"| {name} | {' | '.join(f'{taken[kind]:.2f}' for kind in kinds)} |"
        for name, taken in row["cpu_ms"].items()
    ]
    text = f"## Decode + resize + encode, one core\n\n{row['images']} files of the same corpus."
    return "\n".join([f"{text}\n", head, *body])
