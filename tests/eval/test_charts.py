import io

import numpy as np
from PIL import Image

from diagonal_eval.charts import (
    Bar,
    bar_chart,
    data_uri,
    heat_map_png,
    thumbnail,
)


def test_bars_escape_labels_and_have_whiskers() -> None:
    bar = Bar(label="<b>", value=0.5, text="1 < 2", interval=(0.4, 0.6))
    chart = bar_chart([bar, Bar(label="zero", value=0, text="0")], maximum=1)
    assert "<b>" not in chart
    assert "&lt;b&gt;" in chart
    assert chart.count("whisker") == 1
    assert 'width="200.0"' in chart


def test_bars_of_nothing_are_drawn() -> None:
    assert "<svg" in bar_chart([Bar(label="none", value=0, text="0")], maximum=0)


def test_a_heat_map_has_the_colours_of_its_ends() -> None:
    png = heat_map_png(np.array([[1.0, 0.0], [-5.0, 9.0]]), low=0, high=1, cell=3)
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape == (6, 6, 3)
    assert pixels[0, 0].tolist() == pixels[5, 5].tolist() == [252, 253, 214]
    assert pixels[0, 5].tolist() == pixels[5, 0].tolist() == [13, 8, 40]


def test_a_thumbnail_fits_its_square() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (90, 30)).save(buffer, format="PNG")
    small = thumbnail(buffer.getvalue(), 30)
    assert small is not None
    assert Image.open(io.BytesIO(small)).size == (30, 10)
    assert thumbnail(b"no image", 30) is None
    assert data_uri(b"a", "image/png") == "data:image/png;base64,YQ=="
