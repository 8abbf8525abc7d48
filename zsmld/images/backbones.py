"""timm and open_clip image towers behind one interface: images (B,3,H,W) → tokens (B,T,C)."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zsmld import files
from zsmld.errors import InputError, UsageError
from zsmld.images import towers
from zsmld.images.preprocessing import PIXELS, Preprocessing
from zsmld.tensors import content_digest

_AT_ONCE_ON_CPU = 8  # images


@dataclass(frozen=True)
class BackboneSpec:
    """Which tower, with which weights.

    Attributes:
        name: `timm:NAME`, `open_clip:NAME@TAG`, `open_clip:local-dir:FOLDER` or `open_clip:hf-hub:ORG/NAME`.
        weights: None for the published weights, a safetensors file, a tag of open_clip, or `random` to train from
            scratch.
        arguments: extra arguments: of the timm model, or of the `vision_cfg` of the open_clip one.
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
        tokens: T, how many tokens an image has.
        channels: C, the width of a token.
        preprocess: makes a PIL image ready, (3,H,W) float32.
        config: what builds the same architecture again.
    """

    def __init__(self, tower: nn.Module, config: dict[str, Any]) -> None:
        super().__init__()
        self.tower = tower
        self.config = config
        self.preprocess = Preprocessing(**_tuples(config["preprocessing"]))
        self.tokens, self.channels = self._shape()

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.preprocess.image_size

    @property
    def mean(self) -> tuple[float, ...]:
        """What is subtracted from pixels in [0,1]."""
        return self.preprocess.mean

    @property
    def std(self) -> tuple[float, ...]:
        """What they are divided by then."""
        return self.preprocess.std

    def _shape(self) -> tuple[int, int]:
        training = self.tower.training
        self.tower.eval()
        try:
            with torch.inference_mode():
                tokens, channels = self(torch.zeros(1, 3, self.image_size, self.image_size)).shape[1:]
        except (RuntimeError, AssertionError, ValueError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(f"{self.config['name']} gives no tokens at {self.image_size} pixels: {reason}") from error
        self.tower.train(training)
        return tokens, channels

    def forward(self, images: Tensor) -> Tensor:
        """(B,3,H,W) → (B,T,C): the last feature map, normalised as the tower does, no prefix tokens."""
        kind = self.config["name"].partition(":")[0]
        feature_map = towers.feature_map(kind, self.tower, images)  # (B,C,h,w)
        return feature_map.flatten(2).transpose(1, 2)

    def checkpoint_activations(self) -> None:
        """Compute activations a second time for the gradient, instead of keeping them.

        Raises:
            UsageError: the tower cannot.
        """
        switch: Any = getattr(self.tower, "set_grad_checkpointing", None)
        before = self._switches()
        try:
            if switch is not None:
                switch(True)
        except AssertionError as error:
            raise UsageError(f"{self.config['name']} cannot compute its activations twice: {error}") from error
        # Some towers have the method, and it does nothing.
        if self._switches() == before:
            raise UsageError(
                f"{self.config['name']} cannot compute its activations twice", remedy="Leave out --checkpointing."
            )

    def _switches(self) -> list[dict[str, bool]]:
        """What is on or off in the modules of the tower."""
        return [
            {name: value for name, value in vars(module).items() if isinstance(value, bool)}
            for module in self.tower.modules()
        ]

    def converted(self, dtype: torch.dtype) -> Backbone:
        """Itself for float32; else a copy, with those weights in `dtype` that autocast would convert for every batch.

        `encode_filled` gives the same with it, sooner: converting 86 million weights takes as long as 8 images do. And
        in inference mode converted weights have no gradient: nn.MultiheadAttention copies such ones for every image,
        which takes ten times as long as all the rest. Those of the copy are parameters.
        """
        if dtype == torch.float32:
            return self
        copied = copy.deepcopy(self)
        for module in copied.modules():
            # No classes derived of them: some compute their weights first, which autocast would leave in float32.
            if type(module) in (nn.Linear, nn.Conv2d, nn.modules.linear.NonDynamicallyQuantizableLinear):
                module.weight.data = module.weight.data.to(dtype)
            elif type(module) is nn.MultiheadAttention and module.in_proj_weight is not None:
                module.in_proj_weight.data = module.in_proj_weight.data.to(dtype)
        return copied

    @torch.inference_mode()
    def encode_filled(self, images: Sequence[Tensor], batch_size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Tokens (batch_size,T,C) of n images (3,H,W); those behind the first n are of no image.

        Another type than float32 is what PyTorch's autocast takes for the products.

        The last bits of a matrix product depend on its shape, and what comes of an image must not depend on how many
        others were given along with it: what is computed at once is filled up with blank images.
        """
        device = next(self.parameters()).device
        at_once = batch_size
        if device.type == "cpu":
            # More do not fit its caches, and of a few images few are blank.
            at_once = min(batch_size, _AT_ONCE_ON_CPU)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            parts = [self._encode(images[at : at + at_once], at_once, device) for at in range(0, len(images), at_once)]
        wanting = batch_size - at_once * len(parts)
        if wanting > 0:
            parts.append(parts[0].new_zeros(wanting, *parts[0].shape[1:]))
        return torch.cat(parts)[:batch_size]

    def _encode(self, images: Sequence[Tensor], count: int, device: torch.device) -> Tensor:
        """Tokens (count,T,C) of up to so many images; those behind them are of blank ones."""
        filled = torch.stack([*images, *[torch.zeros_like(images[0])] * (count - len(images))])
        if device.type == "cpu":
            # Convolutions are up to twice as fast on it.
            filled = filled.contiguous(memory_format=torch.channels_last)
        tokens: Tensor = self(filled.to(device))
        return tokens

    def encode(self, images: Sequence[Tensor], batch_size: int) -> Tensor:
        """Tokens (n,T,C), float32 on the CPU, of up to `batch_size` images (3,H,W), computed as a full batch."""
        return self.encode_filled(images, batch_size)[: len(images)].float().cpu()

    @property
    def fingerprint(self) -> str:
        """Digest of architecture, preprocessing and the weights as they are now: same fingerprint, same tokens.

        Same to the bit for the same machine, versions and batch size; elsewhere up to rounding.
        """
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self.tower.state_dict().items()}
        return content_digest(weights, {"config": files.to_json(self.config), "pixels": PIXELS})

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
            described = {key: config[key] for key in ("name", "arguments", "preprocessing", "architecture")}
            size = Preprocessing(**_tuples(described["preprocessing"])).image_size
            if described["architecture"]:
                tower = towers.from_architecture(described["architecture"])
            else:
                tower = towers.build(described["name"], towers.RANDOM, described["arguments"], size).module
            return cls(tower, described)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise InputError(f"the description of the backbone is malformed: {error!r}") from error


def create_backbone(spec: BackboneSpec) -> Backbone:
    """Build the tower and load its weights.

    Raises:
        UsageError: an unknown tower or argument, or a mean that is not one number or three.
        InputError: a weights file that is absent, damaged, a pickle, or another tower's.
        EnvironmentFailure: published weights that are not on this machine and cannot be fetched.
    """
    built = towers.build(spec.name, spec.weights, spec.arguments, spec.image_size)
    preprocessing = Preprocessing(
        image_size=built.own.image_size if spec.image_size is None else spec.image_size,
        mean=_three(spec.mean) or built.own.mean,
        std=_three(spec.std) or built.own.std,
        interpolation=built.own.interpolation,
    )
    return Backbone(built.module, described(spec.name, spec.arguments, preprocessing, built.architecture)).eval()


def described(
    name: str, arguments: Mapping[str, Any], preprocessing: Preprocessing, architecture: dict[str, Any]
) -> dict[str, Any]:
    """A `Backbone.config`, JSON values.

    Args:
        name: as `BackboneSpec.name`.
        arguments: likewise.
        preprocessing: of its photographs.
        architecture: see `towers.Tower`.

    Raises:
        UsageError: arguments that JSON cannot hold.
    """
    config = {
        "name": _without_folder(name),
        "arguments": dict(arguments),
        "preprocessing": asdict(preprocessing),
        "architecture": architecture,
    }
    values: dict[str, Any] = json.loads(_as_json(config))
    return values


def _as_json(config: dict[str, Any]) -> str:
    try:
        return files.to_json(config)
    except (TypeError, ValueError) as error:
        raise UsageError(f"backbone arguments cannot be written to a model folder: {error}") from error


def _three(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return values * 3 if values and len(values) == 1 else values


def _without_folder(name: str) -> str:
    """The name that goes into a model folder: no path of this machine, and no tag, as the weights travel along."""
    library, _, model = name.partition(":")
    if model.startswith("local-dir:"):
        return f"{library}:local-dir:{Path(model).name}"
    return name.partition("@")[0]


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
