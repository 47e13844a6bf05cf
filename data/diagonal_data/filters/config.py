"""Configuration of the filters command: what a recipe says, and how lists are put together."""

from dataclasses import dataclass, field
from typing import Annotated

from diagonal_data.dedup.config import LARGEST
from diagonal_infra.cli import Positional, also
from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition that a kept sample meets, and the reason of those that do not."""

    reason: str
    keep: str
    """SQL expression, true for what stays. Where it is null, as for a score that is missing or
    NaN, the sample is dropped as REASON_unknown."""


@dataclass(frozen=True, kw_only=True)
class CaptionLength:
    """Caption length in words (split at white space) and characters; 0 is no limit."""

    min_words: int = 0
    """Fewest words."""
    max_words: int = 0
    """Most words."""
    min_chars: int = 0
    """Fewest characters."""
    max_chars: int = 0
    """Most characters."""


@dataclass(frozen=True, kw_only=True)
class ImageShape:
    """Size and shape of the original image; 0 is no limit."""

    min_side: int = 0
    """Fewest pixels of the shorter side."""
    max_aspect: float = 0.0
    """Largest ratio of long to short side."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """Languages of captions that stay."""

    keep: tuple[str, ...] = ()
    """Codes such as `en`; none given, all stay."""
    column: str = "text.lang"
    """Score column, as KIND/NAME.COLUMN; or `lang`, the row table's own."""


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How well image and caption must agree, by a score column."""

    score: Annotated[str, also("--score")] = ""
    """KIND/NAME.COLUMN, or KIND.COLUMN where the kind has one set; empty is no rule."""
    at_least: Annotated[float | None, also("--at-least")] = None
    """Least score that stays."""
    top: Annotated[float, also("--top")] = 1.0
    """Share that stays, counted over all samples with a score as DataComp counts: of n scores in
    falling order the one at place int(n × share), from 0, is the least that stays."""

    def __post_init__(self) -> None:
        require(0 < self.top <= 1, f"--top is a share, above 0 and at most 1, got {self.top}")


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """Image-based selection: pictures whose nearest centroid is also nearest to a target's."""

    embeddings: str = ""
    """NAME of DATASET/embeddings/NAME; empty is no rule."""
    centroids: str = ""
    """.npy of K × D: centroids of the pool's image embeddings."""
    targets: str = ""
    """.npy of N × D: image embeddings of the target set, such as ImageNet's training pictures."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Which copies are dropped; of equals the largest original stays, then the first."""

    exact: bool = True
    """Same bytes as fetched (sha256)."""
    max_hamming: int = 3
    """Perceptual hashes that differ in at most this many of 64 bits; -1 turns the rule off."""
    with_caption: bool = False
    """Same perceptual hash and same caption."""

    def __post_init__(self) -> None:
        require(
            -1 <= self.max_hamming <= LARGEST["phash"],
            f"--duplicates.max-hamming must be -1 to {LARGEST['phash']}, got {self.max_hamming}",
        )


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """Rows to keep for evaluation, named by a Parquet list."""

    list: str = ""
    """Parquet file with a `uid` or a `url` column; empty for none."""
    columns: tuple[str, ...] = ()
    """Boolean columns of that file: a row counts if any is true; none given, all rows count."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """MetaCLIP's balancing: head concepts are thinned out, tail concepts stay whole."""

    most: int = 0
    """t of the paper: an entry with n samples wins each with p = min(1, t / n), and a sample stays
    if any of its entries wins; one without an entry is dropped. 0 is no rule."""
    entries: str = "text.concepts"
    """Score column of lists: the metadata entries that a caption matches."""


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Most samples of one kind; 0 is no limit. Counted among those that no rule before dropped."""

    host: int = 0
    """Of one host of the URL."""
    caption: int = 0
    """Of one caption."""
    frequent_caption: int = 0
    """A caption of more samples than this is dropped with all of them (COYO's rule)."""
    concept: int = 0
    """Of one entry of `--cap.concepts`; a sample stays if it is among the first of any entry."""
    concepts: str = "text.concepts"
    """Score column of the concepts: a list of numbers, or one value."""
    by: str = ""
    """SQL number by which to choose: the greatest stay; empty draws lots with --seed."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A seeded draw at the end; it depends on the uid alone, not on order or shards."""

    share: float = 1.0
    """Chance of each sample to stay."""
    count: int = 0
    """Number that stay; 0 is all."""

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, f"--sample.share must be 0–1, got {self.share}")


@dataclass(frozen=True, kw_only=True)
class FiltersConfig(MetricsConfig):
    """Row tables and scores in, keep list and funnel out. Rules apply in the order of the fields;
    SQL names a row table's column as it is, a score column as KIND_COLUMN or KIND_NAME_COLUMN."""

    dataset: str
    """Dataset folder."""
    name: str
    """Written to DATASET/filters/NAME."""
    hold_out: HoldOut = field(default_factory=HoldOut)
    """Evaluation data."""
    language: Language = field(default_factory=Language)
    """Language of the caption."""
    caption: CaptionLength = field(default_factory=CaptionLength)
    """Text."""
    image: ImageShape = field(default_factory=ImageShape)
    """Pixels."""
    similarity: Similarity = field(default_factory=Similarity)
    """Agreement of image and caption."""
    where: tuple[str, ...] = ()
    """SQL conditions that a sample must meet, each as `CONDITION` or `REASON: CONDITION`. They may
    use quantile(COLUMN) and top(COLUMN, SHARE), counted over all samples with a score."""
    nearest: Nearest = field(default_factory=Nearest)
    """Image-based selection."""
    duplicates: Duplicates = field(default_factory=lambda: Duplicates(exact=False, max_hamming=-1))
    """Copies."""
    balance: Balance = field(default_factory=Balance)
    """Concepts, thinned out."""
    cap: Caps = field(default_factory=Caps)
    """Most samples of one host, caption or concept."""
    sample: Sample = field(default_factory=Sample)
    """A part of what is left."""
    weight: str = ""
    """SQL number: how often a sample is listed. A fraction is a seeded chance of once more;
    0 drops it."""
    seed: int = 0
    """Of all draws."""
    samples_in_report: int = 12
    """Pictures shown per reason in report.html."""


@dataclass(frozen=True, kw_only=True)
class CombineConfig:
    """Filters of one dataset in, one filter out."""

    expression: Positional[str]
    """Names with `&` (in both), `|` (in either), `-` (not in the second) and brackets between;
    white space around the signs. Of repeats `&` takes the fewer, `|` the more."""
    dataset: str
    """Dataset folder."""
    name: str
    """Written to DATASET/filters/NAME."""
    samples_in_report: int = 12
    """Pictures shown per reason in report.html."""


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """A subset file of DataComp's kind in, a filter out."""

    list: str
    """.npy of dtype "u8,u8"; repeats mean upsampling."""
    dataset: str
    """Dataset folder."""
    name: str
    """Written to DATASET/filters/NAME."""
    samples_in_report: int = 12
    """Pictures shown per reason in report.html."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """A filter in, a subset file out, without what was taken down since."""

    output: str
    """.npy to write, for DataComp's tools."""
    dataset: str
    """Dataset folder."""
    name: str
    """Filter to export."""
