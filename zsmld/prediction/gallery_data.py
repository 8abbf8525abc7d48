"""The records of a gallery as script files: each hands one JSON value to a function of the page (`templates/data.js`).

Everything that comes from labels and file names is inside JSON strings, in ASCII: no byte of it can end a script, a
line or a string.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from zsmld.console import clean
from zsmld.folders import Unfinished
from zsmld.prediction.heatmaps import palette
from zsmld.prediction.results import Heatmap, Prediction, ScoredLabel

# Characters of JSON in a file: little enough to be parsed between two frames, and photographs of a few screens.
FULL = 1 << 18


@dataclass(frozen=True)
class Shown:
    """A prediction, and what the page shows of it.

    Attributes:
        number: among all predictions.
        link: URL of the photograph; None of one that was given as pixels.
        size: width and height of its small picture; None where there is none.
        problem: why there is none, of a photograph that was tagged.
    """

    number: int
    prediction: Prediction
    link: str | None
    size: tuple[int, int] | None = None
    problem: str | None = None


@dataclass
class _Files:
    """Script files of one kind, each full before the next is begun; a record a line."""

    folder: Unfinished
    name: str
    number: int = 0
    lines: list[str] = field(default_factory=list)
    length: int = 0

    def add(self, record: Any) -> int:
        """Add a record; return the number of the file that it is in."""
        line, number = as_json(record), self.number
        self.lines.append(line)
        self.length += len(line)
        if self.length >= FULL:
            self.close()
        return number

    def close(self) -> None:
        """Write what has been added."""
        if self.lines:
            text = f"gallery.{self.name}({self.number}, [\n" + ",\n".join(self.lines) + "\n]);\n"
            self.folder.write(f"data/{self.name}-{self.number:05d}.js", text.encode())
            self.number, self.lines, self.length = self.number + 1, [], 0


class GalleryData:
    """Writes the script files of a gallery while predictions arrive.

    A label is described once, by the first prediction that has it: its threshold, whether it was trained on, the
    nearest labels. Heatmaps are in files of their own, which the page loads when one is looked at.
    """

    def __init__(self, folder: Unfinished) -> None:
        self.folder = folder
        self.photographs = self.errors = 0
        self._labels: dict[str, int] = {}
        self._described: list[dict[str, Any]] = []
        self._records = _Files(folder, "photographs")
        self._heatmaps = _Files(folder, "heatmaps")

    def add(self, shown: Shown) -> None:
        """Add the next photograph, or error."""
        prediction = shown.prediction
        record: dict[str, Any] = {"path": clean(str(prediction.path)), "link": shown.link}
        if prediction.error is not None:
            self.errors += 1
            self._records.add(record | {"error": clean(prediction.error.problem)})
            return
        self.photographs += 1
        record |= {
            "number": shown.number,
            "size": shown.size,
            "labels": [self._number_of(each) for each in prediction.labels],
            "scores": [_rounded(each) for each in prediction.labels],
        }
        if shown.problem is not None:
            record["problem"] = clean(shown.problem)
        if any(each.heatmap is not None for each in prediction.labels):
            record["heatmaps"] = self._heatmaps.add(
                [shown.number, [_levels(each.heatmap) for each in prediction.labels]]
            )
        self._records.add(record)

    def finish(self) -> None:
        """Write what is left, and what the page reads first."""
        self._records.close()
        self._heatmaps.close()
        about = {
            "photographs": self.photographs,
            "errors": self.errors,
            "files": self._records.number,
            "palette": base64.b64encode(palette().tobytes()).decode(),
            "labels": self._described,
        }
        self.folder.write("data/about.js", f"gallery.begin(\n{as_json(about)}\n);\n".encode())

    def _number_of(self, scored: ScoredLabel) -> int:
        number = self._labels.setdefault(scored.label, len(self._labels))
        if number == len(self._described):
            self._described.append({
                "label": clean(scored.label),
                "threshold": scored.threshold,
                "seen": scored.seen,
                "nearest": [[clean(label), round(cosine, 3)] for label, cosine in scored.nearest],
            })  # fmt: skip
        return number


def as_json(value: Any) -> str:
    """`value` as JSON in ASCII without `<`: it can stand in any script."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _rounded(scored: ScoredLabel) -> float:
    """The score to six digits; whole where six would put it on the other side of its threshold."""
    short = float(f"{scored.score:.6g}")
    return short if (short >= scored.threshold) == scored.is_there else scored.score


def _levels(heatmap: Heatmap | None) -> list[int | str] | None:
    if heatmap is None:
        return None
    return [heatmap.height, heatmap.width, base64.b64encode(heatmap.levels).decode()]
