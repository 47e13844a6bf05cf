"""Named configurations of `dedup` and `decontaminate`.

python -m diagonal_data.dedup exact --dataset out/d
python -m diagonal_data.dedup perceptual --dataset out/d --keep best --score clip/m.similarity
python -m diagonal_data.dedup semantic --dataset out/d --embeddings m
python -m diagonal_data.decontaminate index --images eval/ --set flowers --output flowers.index
python -m diagonal_data.decontaminate mark --dataset out/d --index flowers.index
"""

from diagonal_data.dedup.config import (
    ExactConfig,
    IndexConfig,
    MarkConfig,
    PerceptualConfig,
    SemanticConfig,
)


def exact() -> ExactConfig:
    """Equal bytes, or equal pixels; seconds for millions of rows."""
    return ExactConfig(dataset="out/dataset")


def perceptual() -> PerceptualConfig:
    """Near perceptual hashes: other sizes, formats and qualities of a picture."""
    return PerceptualConfig(dataset="out/dataset")


def semantic() -> SemanticConfig:
    """Near embeddings (SemDeDup): the statistic, of which a filter takes any threshold."""
    return SemanticConfig(dataset="out/dataset", embeddings="model")


def demo_dedup() -> PerceptualConfig:
    """The demo's pictures of near-identical hashes: emoji of one family are alike on purpose."""
    return PerceptualConfig(dataset="out/demo/dataset", max_hamming=0)


def index() -> IndexConfig:
    """Hashes of an evaluation set's pictures, in a file that can be handed on without them."""
    return IndexConfig(images="out/eval-images", output="out/eval.index", set="eval")


def mark() -> MarkConfig:
    """Near-duplicates of evaluation pictures, as columns is_near, set, distance, similarity."""
    return MarkConfig(dataset="out/dataset", index=("out/eval.index",))


def demo_mark() -> MarkConfig:
    """The demo's dataset against an index of yours."""
    return MarkConfig(dataset="out/demo/dataset", index=("out/eval.index",))


DEDUP = {"exact": exact, "perceptual": perceptual, "semantic": semantic, "demo": demo_dedup}
DECONTAMINATE = {"index": index, "mark": mark, "demo": demo_mark}
