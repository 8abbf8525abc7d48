"""Fit, measure and keep what a short list needs: its probe, and how many of the best labels it finds.

Shapes: I images, N labels, T tokens, C token width, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zsmld import files
from zsmld.decoder.inference import InferenceHead
from zsmld.decoder.model_folder import CONFIG, SHORT_LIST
from zsmld.decoder.short_list import TOP, ShortList, decoder_of, one_by_one
from zsmld.decoder.two_path import TwoPathInference
from zsmld.errors import InputError, UsageError
from zsmld.tensors import read_tensors, write_tensors

FILE_NAME = SHORT_LIST
FEWEST_IMAGES, FEWEST_LABELS = 8, 100
_FORMAT = "1"
_REMEDY = "Make it again with zsmld short-list, or remove it."
# Labels of an image that the probe is fitted on: the best ones, between which it has to tell, and any.
_BEST, _ANY = 400, 800
# The list is so many times as long as the images of the second part need.
_MARGIN = 2.0


@dataclass(frozen=True)
class Calibration:
    """A fitted probe.

    Attributes:
        weight: (D,), w.
        share: the part of a vocabulary that is on the short list, in (0,1].
        recall: the part of the true `TOP` best labels that the list held, on images that had no part in the fit.
        images: how many these were.
        labels: N of the vocabulary that it was measured on.
    """

    weight: Tensor
    share: float
    recall: float
    images: int
    labels: int

    def save(self, folder: Path) -> None:
        """Keep it in a model folder, for the weights that are there now."""
        metadata = {
            "format": _FORMAT, "model": _weights_digest(folder), "share": repr(self.share), "recall": repr(self.recall),
            "images": str(self.images), "labels": str(self.labels),
        }  # fmt: skip
        write_tensors(folder / FILE_NAME, {"weight": self.weight.numpy()}, metadata)

    @classmethod
    def load(cls, folder: Path) -> Calibration | None:
        """What a model folder keeps; None where it was never calibrated.

        Raises:
            InputError: damaged, of another format, or of other weights than the model's.
        """
        path = folder / FILE_NAME
        if not path.exists():
            return None
        arrays, metadata = read_tensors(path, remedy=_REMEDY)
        try:
            share, recall = float(metadata["share"]), float(metadata["recall"])
            found = cls(
                torch.from_numpy(arrays["weight"]), share, recall, int(metadata["images"]), int(metadata["labels"])
            )
            sound = metadata["format"] == _FORMAT and 0 < share <= 1 and 0 <= recall <= 1 and found.weight.ndim == 1
        except (KeyError, ValueError) as error:
            raise InputError(f"is no short list: {error!r}", path=path, remedy=_REMEDY) from error
        if not sound or not math.isfinite(float(found.weight.sum())):
            raise InputError(f"is no short list of format {_FORMAT}", path=path, remedy=_REMEDY)
        if metadata["model"] != _weights_digest(folder):
            raise InputError("was made for other weights than the model's", path=path, remedy=_REMEDY)
        return found

    def told(self) -> str:
        """What it is worth, in words."""
        return (
            f"the short list held {self.recall:.1%} of the {TOP} best of {self.labels} labels on {self.images} "
            f"photographs that it was not fitted on; {self.share:.2%} of the labels are decoded in full"
        )


def _weights_digest(folder: Path) -> str:
    config = files.read_json(folder / CONFIG)
    return str(config.get("weights_digest")) if isinstance(config, dict) else ""


@torch.inference_mode()
def calibrate(head: InferenceHead | TwoPathInference, tokens: Tensor, seed: int = 0) -> Calibration:
    """Fit the probe on a half of the images, choose the length of the list on a quarter, measure on the last quarter.

    Args:
        head: with a zero-shot decoder, and a vocabulary as large as those that it is meant for.
        tokens: (I,T,C), I at least `FEWEST_IMAGES`.
        seed: of the draw of labels.

    Raises:
        UsageError: fewer images, or fewer labels than `FEWEST_LABELS`; a head without a decoder.
    """
    decoder = decoder_of(head)
    if len(decoder.queries) < FEWEST_LABELS:
        raise UsageError(f"{len(decoder.queries)} labels, expected at least {FEWEST_LABELS} to make a short list of")
    if len(tokens) < FEWEST_IMAGES:
        raise UsageError(f"{len(tokens)} images, expected at least {FEWEST_IMAGES} to fit and measure a short list on")
    fitting, choosing = len(tokens) // 2, len(tokens) * 3 // 4
    weight = _fitted(decoder, tokens[:fitting], torch.Generator().manual_seed(seed))
    probe = ShortList(head, weight, 1.0)
    needed = torch.cat([_places(probe, image) for image in one_by_one(tokens[fitting:choosing])]).max()
    share = min(_MARGIN * (int(needed) + 1) / len(probe.own), 1.0)
    listed = ShortList(head, weight, share).listed
    found = torch.cat([_places(probe, image) for image in one_by_one(tokens[choosing:])]) < listed
    return Calibration(weight, share, float(found.double().mean()), len(tokens) - choosing, len(probe.own))


def _places(probe: ShortList, image: Tensor) -> Tensor:
    """(TOP,): where the probe ranks the labels that are the image's best by the full decoder; 0 is first."""
    best = (probe.both or probe.head)(image)[0].topk(min(TOP, len(probe.own))).indices
    order = probe.ranked(image)[0].argsort(descending=True)
    places: Tensor = order.argsort()[best]
    return places


def _fitted(head: InferenceHead, tokens: Tensor, generator: torch.Generator) -> Tensor:
    """(D,): ridge regression of logits on x, within each image."""
    width = head.queries.shape[1]
    gram = torch.zeros(width, width, dtype=torch.float64)
    moment = torch.zeros(width, dtype=torch.float64)
    for image in one_by_one(tokens):
        logits = head(image)[0]
        best = logits.topk(min(_BEST, len(logits))).indices
        drawn = torch.randint(len(logits), (_ANY,), generator=generator).to(best.device)
        labels = torch.cat([best, drawn]).unsqueeze(0)  # (1,n)
        x = head.attended(head.head.memory(image), labels)[0].double().cpu()
        y = logits[labels[0]].double().cpu()
        x, y = x - x.mean(dim=0), y - y.mean()
        gram += x.T @ x
        moment += x.T @ y
    ridge = 1e-3 * gram.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    weight: Tensor = torch.linalg.solve(gram + ridge, moment).float()
    return weight
