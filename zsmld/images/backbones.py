"""timm and open_clip image towers behind one interface: images (B,3,H,W) → tokens (B,T,C)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zsmld import files
from zsmld.errors import InputError, UsageError
from zsmld.images import towers
from zsmld.tensors import content_digest

RANDOM = "random"


@dataclass(frozen=True)
class BackboneSpec:
    """Which tower, with which weights.

    Attributes:
        name: `timm:NAME` or `open_clip:NAME@TAG`.
        weights: None for the published weights, a safetensors file, or `random` to train from scratch.
        arguments: extra model arguments.
        mean: of the pixels in [0,1], one value or three, instead of the tower's own.
        std: likewise.
        image_size: side of the square input in pixels, instead of the tower's own.
    """

    name: str
    weights: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    image_size: int | None = None


@dataclass(frozen=True)
class Preprocessing:
    """How a photograph becomes a tensor: the whole of it squeezed to a square, then normalised.

    Towers are published with a centre crop, which is right for one object in the middle. Labels of a whole
    photograph are about its borders too, so it is squeezed, as ML-Decoder's published preprocessing does.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"

    def transform(self) -> Callable[[Image.Image], Tensor]:
        """PIL image → (3,H,W) float32."""
        from timm.data import create_transform

        made: Callable[[Image.Image], Tensor] = create_transform(
            input_size=(3, self.image_size, self.image_size),
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
            crop_pct=1.0,
            crop_mode="squash",
            is_training=False,
        )
        return made


def parse_arguments(pairs: Sequence[str]) -> dict[str, Any]:
    """`["pad_type=same", "output_stride=8"]` → values, read as Python literals where they are some.

    Raises:
        UsageError: not key=value.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key.isidentifier():
            raise UsageError(f"backbone argument {pair!r} is not key=value")
        try:
            arguments[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            arguments[key] = text
    return arguments


class Backbone(nn.Module):
    """An image tower: tokens from before its classifier head.

    Attributes:
        channels: C, the width of a token.
        preprocessing: how images are made ready.
        config: what builds the same architecture again.
    """

    def __init__(self, tower: nn.Module, config: dict[str, Any]) -> None:
        super().__init__()
        self.tower = tower
        self.config = config
        self.preprocessing = Preprocessing(**_tuples(config["preprocessing"]))
        self._transform = self.preprocessing.transform()
        size = self.preprocessing.image_size
        with torch.inference_mode():
            training = tower.training
            tower.eval()
            self.channels = int(self(torch.zeros(1, 3, size, size)).shape[2])
            tower.train(training)

    def forward(self, images: Tensor) -> Tensor:
        """(B,3,H,W) → (B,T,C): the last feature map, normalised as the tower does, no prefix tokens."""
        kind = self.config["name"].partition(":")[0]
        feature_map = towers.feature_map(kind, self.tower, images)  # (B,C,h,w)
        return feature_map.flatten(2).transpose(1, 2)

    def preprocess(self, image: Image.Image) -> Tensor:
        """A PIL image → (3,H,W) float32."""
        return self._transform(image)

    def fingerprint(self) -> str:
        """Digest of architecture, preprocessing and the weights as they are now: same fingerprint, same tokens."""
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self.tower.state_dict().items()}
        return content_digest(weights, {"config": files.to_json(self.config)})

    def to_config(self) -> dict[str, Any]:
        """JSON values that `from_config` builds the same architecture from, without its weights."""
        return dict(self.config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Backbone:
        """The architecture that `to_config` described; its weights are random until a state dict is loaded.

        Raises:
            InputError: no such description.
        """
        try:
            spec = BackboneSpec(config["name"], RANDOM, dict(config["arguments"]))
            size = int(config["preprocessing"]["image_size"])
            described = {key: config[key] for key in ("name", "arguments", "preprocessing")}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the description of the backbone is malformed: {error!r}") from error
        tower, _ = towers.build(spec.name, RANDOM, spec.arguments, size)
        return cls(tower, described)


def create_backbone(spec: BackboneSpec) -> Backbone:
    """Build the tower and load its weights.

    Raises:
        UsageError: an unknown tower or argument, or a mean that is not one number or three.
        InputError: a weights file that is absent, damaged, a pickle, or another tower's.
        EnvironmentFailure: published weights that are not on this machine and cannot be fetched.
    """
    if spec.weights not in (None, RANDOM) and not Path(str(spec.weights)).is_file():
        raise InputError("no such weights file", path=spec.weights, remedy="Check --backbone-weights.")
    tower, own = towers.build(spec.name, spec.weights, spec.arguments, spec.image_size)
    preprocessing = Preprocessing(
        image_size=spec.image_size or own.image_size,
        mean=_three("mean", spec.mean) or own.mean,
        std=_three("std", spec.std) or own.std,
        interpolation=own.interpolation,
    )
    # Not the tag of open_clip: the weights travel with the model.
    name = spec.name.partition("@")[0]
    config = {"name": name, "arguments": dict(spec.arguments), "preprocessing": _lists(asdict(preprocessing))}
    return Backbone(tower.eval(), config)


def _three(name: str, values: tuple[float, ...] | None) -> tuple[float, float, float] | None:
    if not values:
        return None
    if len(values) not in (1, 3) or (name == "std" and min(values) <= 0):
        raise UsageError(f"--{name} is {','.join(map(str, values))}, expected one number or three")
    r, g, b = values * 3 if len(values) == 1 else values
    return r, g, b


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
