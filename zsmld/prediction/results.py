"""What tagging gives: labels with their scores, and what is known of each; the same whatever scored them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from zsmld.images.opening import ImageError

if TYPE_CHECKING:
    from rich.table import Table

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Heatmap:
    """Where a label looked in a photograph, on the grid of the image tokens, which covers the whole of it.

    Attributes:
        height, width: of the grid.
        levels: height × width bytes, row by row: 0 where it looked least, 255 where most.
    """

    height: int
    width: int
    levels: bytes


@dataclass(frozen=True)
class ScoredLabel:
    """A label and the probability that the model gives it, in [0,1], independent of the other labels asked for.

    Of a model whose images have exactly one class, the probabilities of all its classes add up to 1.

    Attributes:
        threshold: the score from which on the label is taken to be there.
        seen: whether the model was trained on it.
        nearest: the most similar labels that it was trained on, with their cosines; where an explanation was asked for.
        heatmap: likewise.
    """

    label: str
    score: float
    threshold: float = DEFAULT_THRESHOLD
    seen: bool = False
    nearest: tuple[tuple[str, float], ...] = ()
    heatmap: Heatmap | None = None

    @property
    def is_there(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.threshold


@dataclass(frozen=True)
class Prediction:
    """One photograph: its labels, best first, or why it could not be read.

    Attributes:
        path: of the file; of an image that was given as pixels a name.
        picture: these pixels; None of a file.
    """

    path: Path
    labels: tuple[ScoredLabel, ...] = ()
    error: ImageError | None = None
    picture: Image.Image | None = field(default=None, compare=False, repr=False)


class Predictions(list[Prediction]):
    """Predictions, which show themselves: a table in a terminal with rich, photographs and heatmaps in a notebook."""

    def __rich__(self) -> Table:
        from zsmld.prediction.notebook import as_rich_table

        return as_rich_table(self)

    def _repr_html_(self) -> str:
        from zsmld.prediction.notebook import as_html

        return as_html(self)
