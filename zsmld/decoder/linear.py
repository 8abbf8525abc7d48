"""LinearPath: pooled image tokens and label embeddings → logits, out of closed-form maps.

An image is given a direction in the space of the label vectors, and a label scores as the direction meets its vector.
What gives directions, alone or together:

* *bilinear*: x ↦ xB (ESZSL: Romera-Paredes & Torr, ICML 2015, equation 6; Fast0Tag: Zhang et al., CVPR 2016);
* *convex*: x ↦ the seen labels' vectors, mixed by the softmax of their own classifiers (ConSE: Norouzi et al., ICLR
  2014, equation 2).

`zsmld.linear` fits them. With `standardised` every label's scores are brought to mean 0 and deviation 1 on the
training images, from the moments of what these gave, so that any label's are known without an image; and a seen label
adds its own classifier and has an offset of its own (docs/linear_path.md).

A label's logit depends on its own vector and on the seen labels, on no other label that is asked for.

Shapes: B images, C token width, L labels, E label-embedding width, S seen labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsmld.errors import UsageError

# How fast kinship falls with the cosine: 1 for the label itself, 0.14 at a cosine of 0.9, nothing at 0.5.
_KINSHIP = 20.0
_LEAST = 1e-6


@dataclass(frozen=True)
class LabelWeights:
    """What a vocabulary's logits are made of: direction · directionsᵀ + features · featuresᵀ + offsets.

    Attributes:
        directions: (L,E).
        features: (L,C); None where seen labels have no classifier of their own.
        offsets: (L,).
    """

    directions: Tensor
    features: Tensor | None
    offsets: Tensor


class LinearPath(nn.Module):
    """Scores any words from pooled tokens.

    Args:
        in_features: C.
        label_features: E.
        seen_labels: S.
        bilinear: directions of a bilinear map.
        convex: directions of mixed seen labels.
        sharpness: of the softmax of the convex direction.
        best: how many seen labels are mixed; None for all.
        unit: directions are scaled to length 1 before and after they are added.
        standardised: see the module's docstring.

    Raises:
        UsageError: none of the two directions.
    """

    mean: Tensor
    deviation: Tensor
    centre: Tensor
    seen: Tensor
    scale: Tensor
    offset: Tensor
    bilinear: Tensor
    classifier: Tensor
    moment_mean: Tensor
    moment_covariance: Tensor
    own: Tensor
    own_offsets: Tensor

    def __init__(
        self,
        in_features: int,
        label_features: int,
        seen_labels: int,
        *,
        bilinear: bool,
        convex: bool,
        sharpness: float = 1.0,
        best: int | None = None,
        unit: bool = True,
        standardised: bool = False,
    ) -> None:
        super().__init__()
        if not (bilinear or convex):
            raise UsageError("a linear path needs a bilinear or a convex direction")
        self.sizes: dict[str, Any] = {
            "in_features": in_features, "label_features": label_features, "seen_labels": seen_labels,
            "bilinear": bilinear, "convex": convex, "sharpness": sharpness, "best": best, "unit": unit,
            "standardised": standardised,
        }  # fmt: skip
        self.in_features, self.label_features = in_features, label_features
        self.has_bilinear, self.has_convex, self.standardised = bilinear, convex, standardised
        self.sharpness, self.best, self.unit = sharpness, best, unit
        shapes = {
            "mean": (in_features,), "deviation": (in_features,), "centre": (label_features,),
            "seen": (seen_labels, label_features), "scale": (), "offset": (),
        }  # fmt: skip
        if bilinear:
            shapes["bilinear"] = (in_features, label_features)
        if convex:
            shapes["classifier"] = (in_features, seen_labels)
        if standardised:
            both = label_features + in_features
            shapes |= {"moment_mean": (both,), "moment_covariance": (both, both)}
            shapes |= {"own": (in_features, seen_labels), "own_offsets": (seen_labels,)}
        for name, shape in shapes.items():
            # Nothing but the fit sets them, and scores without a fit are to be none.
            self.register_buffer(name, torch.full(shape, torch.nan))

    def forward(self, pooled: Tensor, label_embeddings: Tensor) -> Tensor:
        """Tokens averaged over the image (B,C), as they are, and (L,E) label embeddings → logits (B,L)."""
        return self.score(pooled, self.weights_of(label_embeddings))

    def score(self, pooled: Tensor, weights: LabelWeights) -> Tensor:
        """(B,C) and what `weights_of` gave → logits (B,L)."""
        features = self.features(pooled)
        logits = self.direction(features) @ weights.directions.T + weights.offsets
        return logits if weights.features is None else logits + features @ weights.features.T

    def features(self, pooled: Tensor) -> Tensor:
        """(B,C) → with the mean and the deviation of the training images taken off."""
        return (pooled - self.mean) / self.deviation

    def units(self, label_embeddings: Tensor) -> Tensor:
        """(L,E) → centred on the seen labels, of length 1; a vector that is the centre itself stays 0.

        Raises:
            UsageError: another width than E.
        """
        if label_embeddings.ndim != 2 or label_embeddings.shape[1] != self.label_features:
            raise UsageError(
                f"label embeddings of shape {tuple(label_embeddings.shape)}, expected (labels, {self.label_features})"
            )
        return F.normalize(label_embeddings - self.centre, dim=1)

    def direction(self, features: Tensor) -> Tensor:
        """(B,C) → (B,E)."""
        parts = []
        if self.has_convex:
            chosen = torch.softmax(self.sharpness * (features @ self.classifier), dim=1)
            if self.best is not None and self.best < chosen.shape[1]:
                least = chosen.topk(self.best, dim=1).values[:, -1:]
                chosen = torch.where(chosen >= least, chosen, 0.0)
            parts.append(chosen @ self.seen)
        if self.has_bilinear:
            parts.append(features @ self.bilinear)
        if not self.unit:
            return torch.stack(parts).sum(dim=0)
        return F.normalize(torch.stack([F.normalize(part, dim=1) for part in parts]).sum(dim=0), dim=1)

    def kinship(self, units: Tensor) -> Tensor:
        """(L,E) → (L,S): 1 of a seen label to itself, near 0 to labels that mean something else; at most 1 in sum."""
        kin = torch.exp(_KINSHIP * (units @ self.seen.T - 1))
        return kin / kin.sum(dim=1, keepdim=True).clamp(min=1)

    def weights_of(self, label_embeddings: Tensor) -> LabelWeights:
        """(L,E) → what their logits are made of; once a vocabulary."""
        units = self.units(label_embeddings)
        if not self.standardised:
            return LabelWeights(self.scale * units, None, self.offset.expand(units.shape[0]))
        kin = self.kinship(units)
        weights = self._standardised(units, kin)
        offsets = self.offset + kin @ (self.own_offsets - self.offset) - weights @ self.moment_mean * self.scale
        directions, features = torch.split(self.scale * weights, [self.label_features, self.in_features], dim=1)
        return LabelWeights(directions, features, offsets)

    def _standardised(self, units: Tensor, kin: Tensor) -> Tensor:
        """(L,E+C): weights of direction and features that give every label deviation 1 on the training images."""
        width = self.label_features
        of_direction = self.moment_covariance[:width, :width]
        alone = units / _deviation(units, of_direction)
        both = torch.cat([alone, kin @ self.own.T], dim=1)
        return both / _deviation(both, self.moment_covariance)


def _deviation(weights: Tensor, covariance: Tensor) -> Tensor:
    """(L,1): of the sum with these weights, of what has this covariance."""
    variance = ((weights @ covariance) * weights).sum(dim=1, keepdim=True)
    return variance.clamp(min=0).sqrt() + _LEAST
