import numpy as np
from tests.eval.weak_spots.oracle import inked, pixels

from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.sets import WEAK_SPOTS
from diagonal_eval.weak_spots.written import WORDS, fitting_font

CONFIG = WeakSpotConfig(num_pictures=24)


def test_every_word_is_written_whole() -> None:
    evalset = WEAK_SPOTS["weak/text"](CONFIG)
    for page in pixels(evalset):
        mask_HW = inked(page)
        assert mask_HW.sum() > 300
        edges = (mask_HW[0], mask_HW[-1], mask_HW[:, 0], mask_HW[:, -1])
        assert not any(edge.any() for edge in edges)


def test_the_word_of_the_caption_is_the_one_in_the_picture() -> None:
    """By shape: rendered again at the size it has, it covers the same columns."""
    evalset = WEAK_SPOTS["weak/text"](CONFIG)
    assert evalset.captions is not None
    for page, choice in zip(pixels(evalset), evalset.captions, strict=True):
        ys, xs = inked(page).nonzero()
        width, height = np.ptp(xs) + 1, np.ptp(ys) + 1
        words = [caption.removeprefix("the word '").rstrip("'") for caption in choice]
        ratios = []
        for word in words:
            left, top, right, bottom = fitting_font(word, 4000, 4000).getbbox(word)
            ratios.append(abs((right - left) / (bottom - top) - width / height))
        assert ratios[0] < 0.4, words[0]


def test_a_word_fits_the_box_it_is_given() -> None:
    for word in WORDS:
        left, top, right, bottom = fitting_font(word, 100, 30).getbbox(word)
        assert right - left <= 102
        assert bottom - top <= 31


def test_the_clean_set_differs_by_the_label_only() -> None:
    written = WEAK_SPOTS["weak/typographic"](CONFIG)
    clean = WEAK_SPOTS["weak/typographic-clean"](CONFIG)
    assert written.captions == clean.captions
    assert written.digest != clean.digest
    for with_label, without in zip(pixels(written), pixels(clean), strict=True):
        changed_HW = (with_label != without).any(axis=2)
        ys, xs = changed_HW.nonzero()
        assert 0.02 < changed_HW.mean() < 0.2
        assert np.ptp(ys) < 0.35 * 224
        assert np.ptp(xs) < 0.75 * 224
        label_HWC = with_label[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        grey = np.ptp(label_HWC[2:-2, 2:-2].astype(int), axis=2)
        assert (grey < 8).mean() > 0.95, "black on white stands there"
