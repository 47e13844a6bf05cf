"""Named recipes of the filters command, with published parameters; docs/filters.md has the sources.

python -m diagonal_data.filters basic --dataset out/d --name basic
python -m diagonal_data.filters clip_score_30 --dataset out/d --score clip/NAME.similarity
python -m diagonal_data.filters expr --dataset out/d --where "quantile(clip_similarity) > 0.7"
python -m diagonal_data.filters combine "basic & top30" --dataset out/d --name both
"""

from collections.abc import Callable

from diagonal_data.filters.config import (
    Balance,
    Caps,
    CaptionLength,
    CombineConfig,
    Duplicates,
    ExportConfig,
    FiltersConfig,
    HoldOut,
    ImageShape,
    ImportConfig,
    Language,
    Nearest,
    Similarity,
)

OUT = "out/dataset"
DEMO_WEB = "out/demo/web"
ENGLISH = Language(keep=("en",))


def basic() -> FiltersConfig:
    """Caption length, image size, aspect and duplicates, as DataComp's basic filter has them."""
    return FiltersConfig(
        dataset=OUT,
        name="basic",
        caption=CaptionLength(min_words=3, min_chars=6),
        image=ImageShape(min_side=200, max_aspect=3.0),
        duplicates=Duplicates(),
    )


def duplicates_only() -> FiltersConfig:
    """Exact and perceptual duplicates; everything else is kept."""
    return FiltersConfig(dataset=OUT, name="duplicates-only", duplicates=Duplicates())


def demo() -> FiltersConfig:
    """What the demo trains on: no held-out style or concept, no junk, no duplicates."""
    return FiltersConfig(
        dataset="out/demo/dataset",
        name="demo",
        caption=CaptionLength(min_chars=3, max_chars=200),
        image=ImageShape(min_side=64, max_aspect=3.0),
        # Emoji of one family are alike on purpose, so only near-identical hashes count.
        duplicates=Duplicates(max_hamming=0),
        hold_out=HoldOut(
            list=f"{DEMO_WEB}/labels.parquet", columns=("held_out_style", "held_out_concept")
        ),
    )


def expr() -> FiltersConfig:
    """Your own conditions: give --where, and caps, weights or a sample if you like."""
    return FiltersConfig(dataset=OUT, name="expr")


def datacomp_basic() -> FiltersConfig:
    """DataComp's basic filter: English, over 2 words and 5 characters, 200 px, aspect to 3."""
    return FiltersConfig(
        dataset=OUT,
        name="datacomp_basic",
        language=ENGLISH,
        caption=CaptionLength(min_words=3, min_chars=6),
        image=ImageShape(min_side=200, max_aspect=3.0),
    )


def clip_score_30() -> FiltersConfig:
    """DataComp's CLIP score filter: the best 30 % by --score (L/14 in the paper)."""
    return FiltersConfig(
        dataset=OUT,
        name="clip_score_30",
        similarity=Similarity(score="clip.similarity", top=0.3),
    )


def laion_400m() -> FiltersConfig:
    """LAION-400M: 5 characters, English, CLIP B/32 similarity of 0.3."""
    return FiltersConfig(
        dataset=OUT,
        name="laion_400m",
        language=ENGLISH,
        caption=CaptionLength(min_chars=5),
        similarity=Similarity(score="clip.similarity", at_least=0.3),
    )


def laion_2b_en() -> FiltersConfig:
    """LAION-2B-en: 5 characters, English, CLIP B/32 similarity of 0.28."""
    return FiltersConfig(
        dataset=OUT,
        name="laion_2b_en",
        language=ENGLISH,
        caption=CaptionLength(min_chars=5),
        similarity=Similarity(score="clip.similarity", at_least=0.28),
    )


def coyo() -> FiltersConfig:
    """COYO-700M: size, aspect, NSFW, evaluation sets, English, length, frequent captions."""
    return FiltersConfig(
        dataset=OUT,
        name="coyo",
        language=ENGLISH,
        caption=CaptionLength(min_words=3, max_words=256, min_chars=6, max_chars=1000),
        image=ImageShape(min_side=200, max_aspect=3.0),
        where=("nsfw: safety_nsfw <= 0.5", "near_evaluation_set: not eval_near_is_near"),
        duplicates=Duplicates(exact=False, max_hamming=-1, with_caption=True),
        cap=Caps(frequent_caption=10),
    )


def image_based() -> FiltersConfig:
    """DataComp's image-based filter: English captions, pictures near those of a target set."""
    return FiltersConfig(
        dataset=OUT,
        name="image_based",
        language=ENGLISH,
        caption=CaptionLength(min_words=2, min_chars=6),
        nearest=Nearest(embeddings="NAME", centroids="centroids.npy", targets="targets.npy"),
    )


def image_based_and_clip() -> FiltersConfig:
    """DataComp-1B: the best 30 % by --score, and image_based."""
    return FiltersConfig(
        dataset=OUT,
        name="image_based_and_clip",
        language=ENGLISH,
        caption=CaptionLength(min_words=2, min_chars=6),
        similarity=Similarity(score="clip.similarity", top=0.3),
        nearest=Nearest(embeddings="NAME", centroids="centroids.npy", targets="targets.npy"),
    )


def metaclip() -> FiltersConfig:
    """MetaCLIP: captions with a metadata entry, thinned out to about 20,000 per entry."""
    return FiltersConfig(dataset=OUT, name="metaclip", balance=Balance(most=20_000))


def combine() -> CombineConfig:
    """Filters of one dataset put together: "a & b", "a | b", "a - b"."""
    return CombineConfig(expression="basic & top30", dataset=OUT, name="combined")


def import_list() -> ImportConfig:
    """A subset file of DataComp's kind (.npy of "u8,u8") as a filter."""
    return ImportConfig(list="subset.npy", dataset=OUT, name="imported")


def export_list() -> ExportConfig:
    """A filter as a subset file for DataComp's tools."""
    return ExportConfig(output="out/subset.npy", dataset=OUT, name="basic")


FILTERS: dict[str, Callable[[], FiltersConfig | CombineConfig | ImportConfig | ExportConfig]] = {
    "basic": basic,
    "duplicates-only": duplicates_only,
    "demo": demo,
    "expr": expr,
    "datacomp_basic": datacomp_basic,
    "clip_score_30": clip_score_30,
    "laion_400m": laion_400m,
    "laion_2b_en": laion_2b_en,
    "coyo": coyo,
    "image_based": image_based,
    "image_based_and_clip": image_based_and_clip,
    "metaclip": metaclip,
    "combine": combine,
    "import": import_list,
    "export": export_list,
}
