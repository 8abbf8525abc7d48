"""Predictions as rich and notebooks show them: a table; photographs with their labels, and where each label looked."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image
from rich.table import Table
from rich.text import Text

from zsmld.console import clean
from zsmld.images.opening import ImageError
from zsmld.prediction.heatmaps import overlay
from zsmld.prediction.output import shown_path, told_nearest
from zsmld.prediction.pictures import small_picture
from zsmld.prediction.results import Prediction, ScoredLabel

# More would make a notebook heavy: each is a picture in it.
SHOWN, _HEATMAPS = 20, 3
_SIDE, _SMALL = 240, 120  # pixels


def as_rich_table(predictions: Sequence[Prediction]) -> Table:
    """A line a photograph and label."""
    table = Table("photograph", "score", "label", "nearest trained on")
    for prediction in predictions:
        name = Text(clean(shown_path(prediction)))
        if prediction.error is not None:
            table.add_row(name, "", Text(clean(prediction.error.problem), style="red"), "")
        for at, each in enumerate(prediction.labels):
            told = Text(clean(each.label)), Text(clean(told_nearest(each)))
            table.add_row(name if at == 0 else Text(), f"{each.score:.3f}", *told)
        if prediction.error is None and not prediction.labels:
            table.add_row(name, "", Text("no label reaches its threshold", style="dim"), "")
    return table


def as_html(predictions: Sequence[Prediction]) -> str:
    """A piece of HTML: of the first 20 photographs a small picture, labels, and heatmaps of the first labels."""
    cards = "".join(_card(each) for each in predictions[:SHOWN])
    more = len(predictions) - SHOWN
    rest = f"<p>and {more} more</p>" if more > 0 else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{cards}</div>{rest}'


def _card(prediction: Prediction) -> str:
    name = escape(clean(shown_path(prediction)))
    body = _picture_and_labels(prediction)
    return f'<figure style="margin:0;max-width:{3 * _SMALL}px"><figcaption><b>{name}</b></figcaption>{body}</figure>'


def _picture_and_labels(prediction: Prediction) -> str:
    if prediction.error is not None:
        return f"<p>{escape(clean(prediction.error.problem))}</p>"
    try:
        small = small_picture(prediction, _SIDE)
    except ImageError as error:
        # It may be gone since it was tagged.
        return f"<p>{escape(clean(error.problem))}</p>" + _labels(prediction.labels)
    maps = [
        f'<div style="display:inline-block">{_img(overlay(small, each.heatmap), _SMALL)}<br>'
        f"{escape(clean(each.label))}</div>"
        for each in prediction.labels[:_HEATMAPS]
        if each.heatmap is not None
    ]
    return _img(small, _SIDE) + _labels(prediction.labels) + "".join(maps)


def _labels(labels: Sequence[ScoredLabel]) -> str:
    rows = "".join(
        f"<tr><td>{each.score:.3f}</td><td>{escape(clean(each.label))}</td>"
        f"<td>{escape(clean(told_nearest(each)))}</td></tr>"
        for each in labels
    )
    return f"<table>{rows}</table>"


def _img(image: Image.Image, side: int) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img style="max-width:{side}px" alt="" src="data:image/jpeg;base64,{data}">'
