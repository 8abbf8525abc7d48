"""How predictions show themselves: a table with rich, HTML in a notebook; names and labels are text in both."""

import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from zsmld.images.opening import ImageError
from zsmld.prediction.notebook import SHOWN
from zsmld.prediction.results import Heatmap, Prediction, Predictions, ScoredLabel

HOSTILE = "<img src=x onerror=alert(1)>[red]\x1b[31m"


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def predictions(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (600, 400), "teal").save(path)
    heatmap = Heatmap(2, 2, bytes([0, 80, 160, 255]))
    labels = (
        ScoredLabel(HOSTILE, 0.875, nearest=(("[/foo]", 0.5),), heatmap=heatmap),
        ScoredLabel("sea", 0.25, seen=True, heatmap=heatmap),
    )
    return Predictions(
        [
            Prediction(path, labels),
            Prediction(Path("image 2"), labels[1:], picture=Image.new("RGB", (50, 30))),
            Prediction(tmp_path / "gone.jpg", labels[1:]),
            Prediction(Path("b.jpg"), error=ImageError("is empty", path="b.jpg")),
            Prediction(path),
        ]
    )


def test_rich_shows_a_line_a_label_and_no_markup(predictions):
    stream = io.StringIO()
    Console(file=stream, width=200, color_system=None).print(predictions)
    text = stream.getvalue()
    assert "0.875" in text and "<img src=x onerror=alert(1)>[red]" in text and "\x1b" not in text
    assert "[/foo] 0.50" in text and "is empty" in text and "no label reaches its threshold" in text


def test_a_notebook_shows_pictures_labels_and_heatmaps(predictions):
    page = Tags(predictions._repr_html_())
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    # Three photographs, one with two heatmaps, one with one.
    assert len(pictures) == 6 and all(each.startswith("data:image/jpeg;base64,") for each in pictures)
    assert "0.875" in page.texts and "is empty" in page.texts and "no such file" in page.texts
    assert any("onerror" in text for text in page.texts) and "script" not in {tag for tag, _ in page.tags}


def test_a_notebook_does_not_grow_with_the_photographs(predictions):
    many = Predictions([predictions[3]] * (SHOWN + 7))
    text = many._repr_html_()
    assert text.count("is empty") == SHOWN and "and 7 more" in text


def test_predictions_are_a_list(predictions):
    assert predictions[0].labels[0].is_there and not predictions[0].labels[1].is_there
    assert len(predictions) == 5 and isinstance(predictions, list)
