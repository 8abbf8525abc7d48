"""Logits → probabilities, each of its label alone, and from where on a label is given: `probabilities.json`.

    probability = logistic(scale · logit + shift)

There is one such curve for labels that a model was trained on and one for labels that it never was, each with a
threshold; labels trained on that enough held-out images have, have thresholds of their own. `zsmld train` measures all
of it on images and labels that it holds out (docs/probabilities.md). Needs no torch.

Shapes: B images, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from zsmld import files
from zsmld.errors import InputError
from zsmld.labels.vocabulary import canonical

FILE_NAME = "probabilities.json"
FORMAT_VERSION = 1
_KEYS = {"format_version", "seen", "unseen", "thresholds"}
_LARGEST = 1e6  # of scales and shifts: what is beyond is no measurement
_REMEDY = "Remove it, and scores are the plain logistic function of the logits; or train again."


@dataclass(frozen=True)
class Curve:
    """What makes probabilities of labels of one kind; without arguments the plain logistic function.

    Attributes:
        scale: more than 0, so that the order of a label's images stays.
        shift: in units of the scaled logit.
        threshold: a probability; a label is given from there on.
        labels: how many held-out images spoke of; 0 where nothing was measured.
        positives: true pairs of held-out image and label that it was measured on.
    """

    scale: float = 1.0
    shift: float = 0.0
    threshold: float = 0.5
    labels: int = 0
    positives: int = 0

    @property
    def is_measured(self) -> bool:
        """Whether it rests on held-out images."""
        return self.positives > 0


@dataclass(frozen=True)
class Probabilities:
    """What makes probabilities of a model's logits; without arguments the plain logistic function, threshold 0.5.

    Attributes:
        seen: of labels that were trained on.
        unseen: of labels that never were.
        own: label → its own threshold, of labels trained on that have one.
    """

    seen: Curve = Curve()
    unseen: Curve = Curve()
    own: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        """Whether anything of it rests on held-out images."""
        return self.seen.is_measured or self.unseen.is_measured

    def of(self, logits: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Probabilities, each of its own logit alone.

        Args:
            logits: (B,L).
            seen: (L,), or (B,L): whether the model was trained on the label.

        Returns:
            (B,L) in [0,1].
        """
        scale = np.where(seen, self.seen.scale, self.unseen.scale)
        shift = np.where(seen, self.seen.shift, self.unseen.shift)
        probabilities: NDArray[np.float64] = scipy.special.expit(scale * logits.astype(np.float64) + shift)
        return probabilities

    def thresholds(self, labels: Sequence[str], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(L,): the probability from which on each label is given.

        Its own where a label was trained on and has one, else the common one of its kind (docs/probabilities.md says
        why words never trained on take none from words like them).

        Args:
            labels: L.
            seen: (L,): whether the model was trained on the label.
        """
        own = {canonical(label): threshold for label, threshold in self.own.items()}
        found = [
            own.get(canonical(label), self.seen.threshold) if is_seen else self.unseen.threshold
            for label, is_seen in zip(labels, seen, strict=True)
        ]
        return np.array(found, dtype=np.float64)

    def told(self) -> str:
        """What it was measured on, and what was not, in one line."""
        if not self.is_measured:
            return "not measured: the plain logistic function, threshold 0.5"
        trained = "labels trained on: the plain logistic function, not measured"
        if self.seen.is_measured:
            trained = f"labels trained on: measured on {_told(self.seen)}, {len(self.own)} thresholds of their own"
        if self.unseen.is_measured:
            return f"{trained}; never trained on: measured on {_told(self.unseen)} that were held out"
        return f"{trained}; never trained on: not measured, taken for the same"

    def save(self, folder: Path) -> None:
        """Write `probabilities.json` of a model folder."""
        record = {
            "format_version": FORMAT_VERSION, "seen": asdict(self.seen), "unseen": asdict(self.unseen),
            "thresholds": dict(self.own),
        }  # fmt: skip
        files.write_json(folder / FILE_NAME, record)

    @classmethod
    def load(cls, folder: Path) -> Probabilities:
        """What a model folder has; the plain logistic function where it has nothing.

        Raises:
            InputError: the file is damaged, or of another format.
        """
        path = folder / FILE_NAME
        if not path.exists():
            return cls()
        record = files.read_json(path)
        version = record.get("format_version") if isinstance(record, dict) else None
        if version is not None and version != FORMAT_VERSION:
            raise InputError(
                f"has format version {version!r}, this zsmld reads {FORMAT_VERSION}", path=path,
                remedy="Use the zsmld version that wrote it.",
            )  # fmt: skip
        if version is None or set(record) != _KEYS or not isinstance(record["thresholds"], dict):
            raise InputError("is no description of probabilities", path=path, remedy=_REMEDY)
        own = {label: _number(path, label, value, 0, 1) for label, value in record["thresholds"].items()}
        return cls(_curve(path, record, "seen"), _curve(path, record, "unseen"), own)


def _told(curve: Curve) -> str:
    return f"{curve.positives:,} true pairs of {curve.labels:,} labels"


def _curve(path: Path, record: dict[str, Any], kind: str) -> Curve:
    """The curve of one kind of labels.

    Raises:
        InputError: a value is missing, or out of its bounds.
    """
    values = record[kind]
    if not isinstance(values, dict) or set(values) != set(asdict(Curve())):
        raise InputError(f"{kind!r} is no curve", path=path, remedy=_REMEDY)
    counts = {name: values[name] for name in ("labels", "positives")}
    for name, count in counts.items():
        if type(count) is not int or count < 0:
            raise InputError(f"{kind!r}: {name} is {count!r}, expected a count", path=path, remedy=_REMEDY)
    return Curve(
        _number(path, f"{kind}: scale", values["scale"], 1 / _LARGEST, _LARGEST),
        _number(path, f"{kind}: shift", values["shift"], -_LARGEST, _LARGEST),
        _number(path, f"{kind}: threshold", values["threshold"], 0, 1),
        **counts,
    )


def _number(path: Path, name: str, value: Any, least: float, most: float) -> float:
    # Comparisons refuse NaN, too, and integers that are too long for a float.
    if type(value) not in (int, float) or not least <= value <= most:
        told = f"{name} is {value!r}, expected a number from {least:g} to {most:g}"
        raise InputError(told, path=path, remedy=_REMEDY)
    return float(value)
