"""The plan's lines: how much of everything, on what assumption, from whom. Pure but for figures.

pairs ◄ pictures ◄ candidates ─► core-hours, hours, bytes ─► money
samples × FLOPs / (peak × utilisation) ─► GPU-hours ─► money
"""

from dataclasses import dataclass, replace

from diagonal_infra.cost import FetchCost, FetchRates, fetch_cost
from diagonal_infra.planner.config import Pictures, PlanConfig
from diagonal_infra.planner.figures import FALLBACKS, Figure, figure
from diagonal_infra.planner.flops import forward_flops, gpu_hours, training_flops

PEAK_TERA_FLOPS = {"a100": 312.0, "h100": 989.0, "h200": 989.0}
"""Dense bf16 products, of the makers' data sheets."""
HOSTS_PER_MILLION, HOSTS_EXPONENT = 187_000, 0.6
GOOD_UTILISATION = 0.3
MODEL_SOURCE = "computed from the widths; agrees with open_clip's model_profile.csv"
OPEN_CLIP_RUNS = "given; published: 12 % in open_clip's runs (4,600, 10,700, 50,800 A100-hours)"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One quantity of the plan."""

    part: str
    name: str
    value: float
    unit: str
    assumption: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Reckoned:
    """The quantities that lines and money are made of."""

    candidates: int
    fetch: FetchCost
    host_share: float
    """Of the URLs, on the host that lasts longest."""
    host_rate: float
    """Requests a second that it is asked."""
    pictures: Pictures
    sources: dict[str, Figure]
    score_gpu_hours: float
    filter_core_hours: float
    training_gpu_hours: float


def reckon(config: PlanConfig) -> Reckoned:
    """All quantities.

    Raises:
        UserError: the results of a benchmark cannot be read.
    """
    scrape = config.scrape
    sources = {
        name: figure(name, getattr(scrape, name, None), config.results) for name in FALLBACKS
    }
    success = sources["success_share"].value
    candidates = round(scrape.pairs / scrape.kept_share / success)
    host_share, host_rate = max(config.cluster.heavy_hosts, key=lambda host: host[0] / host[1])
    rate = sources["images_per_core_second"].value
    rates = FetchRates(
        # Its rate is of candidates; those that give nothing take a tenth of a picture's time.
        images_per_core_second=rate / success,
        cores=scrape.cores,
        fetches_per_host_second=host_rate,
        success_share=success,
        image_kilobytes=sources["image_kilobytes"].value,
        stored_kilobytes=sources["stored_kilobytes"].value,
        core_hour_price=config.prices.core_hour,
    )
    fetch = fetch_cost(candidates, round(candidates * host_share), rates)
    return Reckoned(
        candidates=candidates,
        fetch=fetch,
        host_share=host_share,
        host_rate=host_rate,
        pictures=Pictures(
            success_share=success, cpu_seconds=1 / rate, kilobytes=rates.image_kilobytes
        ),
        sources=sources,
        score_gpu_hours=fetch.samples / sources["score_per_gpu_second"].value / 3600,
        filter_core_hours=fetch.samples * sources["filter_cpu_us"].value / 1e6 / 3600,
        training_gpu_hours=training_hours(config, config.training.utilisation),
    )


def training_hours(config: PlanConfig, utilisation: float) -> float:
    """GPU-hours of all samples, those at the last image size too."""
    peak = PEAK_TERA_FLOPS[config.training.gpu]
    phases = [(config.training.samples, config.model)]
    if config.training.last_image_size is not None:
        last = replace(config.model, image_size=config.training.last_image_size)
        phases.append((config.training.last_samples, last))
    return sum(
        gpu_hours(samples, training_flops(model), peak, utilisation) for samples, model in phases
    )


def plan_lines(config: PlanConfig, found: Reckoned) -> list[Line]:
    """Every line of the plan, money last."""
    return [
        *_scrape_lines(config, found),
        *_dataset_lines(config, found),
        *_training_lines(config, found),
        *_money_lines(config, found),
    ]


def _scrape_lines(config: PlanConfig, found: Reckoned) -> list[Line]:
    success, rate = found.sources["success_share"], found.sources["images_per_core_second"]
    size, fetch, cores = found.sources["image_kilobytes"], found.fetch, config.scrape.cores
    hosts = HOSTS_PER_MILLION * (found.candidates / 1e6) ** HOSTS_EXPONENT
    gave = f"{success.value:.0%} of the URLs give a picture, {config.scrape.kept_share:.0%} stay"
    growth = f"187 k in 1 M URLs (img2dataset #101); assumed: exponent {HOSTS_EXPONENT}"
    waited = f"{found.host_share:.3%} of the URLs on one host, {found.host_rate:.3g} a second"
    host_source = "assumed: measure your list with `make candidates RECIPE=report`"
    return [
        Line(part="scrape", name=name, value=value, unit=unit, assumption=why, source=source)
        for name, value, unit, why, source in (
            ("candidates", found.candidates / 1e6, "M URLs", gave, success.source),
            ("hosts", hosts / 1e6, "M", "grow slower than the list", f"published: {growth}"),
            ("fetching and decoding", fetch.core_hours, "core-hours",
             f"{rate.value:.0f} pictures a core-second", rate.source),
            ("hours of the cores", fetch.hours_of_cores, "h", f"{cores} cores", "given"),
            ("hours of the slowest host", fetch.hours_of_largest_host, "h", waited, host_source),
            ("received", fetch.received_gb / 1e3, "TB", f"{size.value:.0f} kB each", size.source),
            ("mean bandwidth", fetch.megabits_per_second / 1e3, "Gbit/s",
             "over the longer of the two", "computed"),
        )
    ]  # fmt: skip


def _dataset_lines(config: PlanConfig, found: Reckoned) -> list[Line]:
    stored, scan = found.sources["stored_kilobytes"], found.sources["filter_cpu_us"]
    per_gpu = found.sources["score_per_gpu_second"]
    return [
        Line(part="dataset", name=name, value=value, unit=unit, assumption=why, source=source)
        for name, value, unit, why, source in (
            ("pictures", found.fetch.samples / 1e6, "M", "before filters", "computed"),
            ("stored", found.fetch.stored_gb / 1e3, "TB", f"{stored.value:.0f} kB each",
             stored.source),
            ("CLIP scores", found.score_gpu_hours, "GPU-hours",
             f"{per_gpu.value:.0f} pictures a GPU-second", per_gpu.source),
            ("filters", found.filter_core_hours, "core-hours",
             f"{scan.value:.1f} µs of a core each, per recipe", scan.source),
            ("pairs", config.scrape.pairs / 1e6, "M", "after filters", "given"),
        )
    ]  # fmt: skip


def _training_lines(config: PlanConfig, found: Reckoned) -> list[Line]:
    training, hours = config.training, found.training_gpu_hours
    samples = training.samples + training.last_samples
    per_second = samples / (hours / training.gpus * 3600)
    loader, stored = found.sources["loader_cpu_ms"], found.sources["stored_kilobytes"]
    share, good = training.utilisation, training_hours(config, GOOD_UTILISATION)
    peak = f"of {PEAK_TERA_FLOPS[training.gpu]:.0f} TFLOP/s ({training.gpu})"
    last = (
        f", the last {training.last_samples / 1e6:.0f} M at {training.last_image_size} pixels"
        if training.last_image_size
        else ""
    )
    good_run = "published: open_clip L/14 with a large local batch 29.9 %, NeMo g/14 37.7 %"
    return [
        Line(part="training", name=name, value=value, unit=unit, assumption=why, source=source)
        for name, value, unit, why, source in (
            ("samples", samples / 1e9, "B", f"seen{last}", "given"),
            ("work", forward_flops(config.model) / 1e9, "GFLOP forward",
             f"{config.model.image_size} pixels; three times that to train", MODEL_SOURCE),
            ("GPU-hours", hours, "GPU-hours", f"{share:.0%} {peak}",
             OPEN_CLIP_RUNS),
            ("GPU-hours of a good run", good, "GPU-hours", f"{GOOD_UTILISATION:.0%} {peak}",
             good_run),
            ("days", hours / training.gpus / 24, "d", f"{training.gpus} GPUs", "given"),
            ("loader", per_second / training.gpus * loader.value / 1e3, "cores per GPU",
             f"{loader.value:.2g} ms of a core a sample, 256 pixels", loader.source),
            ("reading", per_second * stored.value / 1e6, "GB/s", "all ranks together", "computed"),
        )
    ]  # fmt: skip


def _money_lines(config: PlanConfig, found: Reckoned) -> list[Line]:
    prices = config.prices
    terabytes = found.fetch.stored_gb / 1e3
    cores = found.fetch.core_hours + found.filter_core_hours
    bills = [
        ("money for cores", cores * prices.core_hour, f"{prices.core_hour:g} a core-hour"),
        ("money for scores", found.score_gpu_hours * prices.gpu_hour,
         f"{prices.gpu_hour:g} a GPU-hour"),
        ("money for storage", terabytes * prices.terabyte_month * prices.months,
         f"{prices.terabyte_month:g} a TB-month, {prices.months:g} months"),
        ("money for training", found.training_gpu_hours * prices.gpu_hour,
         f"{prices.gpu_hour:g} a GPU-hour"),
    ]  # fmt: skip
    source = "assumed: set --prices"
    lines = [
        Line(part="money", name=name, value=value, unit="", assumption=why, source=source)
        for name, value, why in bills
    ]
    total = sum(line.value for line in lines)
    names = "people, taxes, failed runs and reading across regions not counted"
    return [
        *lines,
        Line(
            part="money",
            name="money in all",
            value=total,
            unit="",
            assumption=names,
            source="computed",
        ),
    ]
