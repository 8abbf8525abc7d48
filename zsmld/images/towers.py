"""What differs between timm and open_clip: building a tower, its weights, its own preprocessing, its feature map."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn

from zsmld import hub
from zsmld.errors import InputError, UsageError, nearest

RANDOM = "random"
_CONFIGURATION_ERRORS = (TypeError, ValueError, AssertionError, KeyError, AttributeError, NotImplementedError)


@dataclass(frozen=True)
class OwnPreprocessing:
    """What a tower was trained with."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str


def build(
    name: str, weights: str | None, arguments: Mapping[str, Any], image_size: int | None
) -> tuple[nn.Module, OwnPreprocessing]:
    """Build the tower `name` with published weights (None), those of a file, or random ones.

    Raises:
        UsageError: an unknown library, tower or argument.
        InputError: a weights file that does not fit.
        EnvironmentFailure: published weights that cannot be fetched.
    """
    library, _, model = name.partition(":")
    if library == "timm" and model:
        return _build_timm(model, weights, arguments, image_size)
    if library == "open_clip" and model:
        return _build_open_clip(model, weights, arguments, image_size)
    raise UsageError(f"backbone {name!r} is unknown, expected timm:NAME or open_clip:NAME@TAG")


def feature_map(library: str, tower: nn.Module, images: Tensor) -> Tensor:
    """(B,3,H,W) → (B,C,h,w): the last feature map before the classifier head."""
    if library == "timm":
        maps: list[Tensor] = tower.forward_intermediates(  # type: ignore[operator]
            images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps[0]
    found: dict[str, list[Tensor]] = tower.forward_intermediates(  # type: ignore[operator]
        images, indices=1, normalize_intermediates=True, output_fmt="NCHW", intermediates_only=True
    )
    return found["image_intermediates"][0]


def _build_timm(
    model: str, weights: str | None, arguments: Mapping[str, Any], image_size: int | None
) -> tuple[nn.Module, OwnPreprocessing]:
    import timm
    from timm.data import resolve_model_data_config

    if not timm.is_model(model):
        raise UsageError(f"timm has no model {model!r}", remedy=nearest(model, timm.list_models()))
    options: dict[str, Any] = dict(arguments)
    if image_size is not None and "vit" in model:
        options.setdefault("img_size", image_size)
    if weights is None:
        weights = str(_published(model))
    if weights != RANDOM:
        _refuse_pickles(Path(weights))
        options["pretrained_cfg_overlay"] = {"file": weights}
    with _quiet_library("timm"), _told_errors(f"timm:{model}", weights):
        tower: nn.Module = timm.create_model(model, pretrained=weights != RANDOM, **options)
    own = resolve_model_data_config(tower)
    return tower, OwnPreprocessing(own["input_size"][1], own["mean"], own["std"], own["interpolation"])


def _published(model: str) -> Path:
    """The published weights of a timm model as a safetensors file, never its older pickles."""
    import timm

    published = timm.get_pretrained_cfg(model)
    if published is None or not published.hf_hub_id:
        raise UsageError(
            f"timm has no published weights of {model!r}", remedy="Give --backbone-weights FILE or random."
        )
    repository = str(published.hf_hub_id).partition("@")[0]
    return hub.fetched(repository, "model.safetensors", remedy="give it as --backbone-weights FILE")


def _build_open_clip(
    model: str, weights: str | None, arguments: Mapping[str, Any], image_size: int | None
) -> tuple[nn.Module, OwnPreprocessing]:
    import open_clip

    from zsmld.labels.clip_models import load_clip

    name, _, tag = model.partition("@")
    if name not in open_clip.list_models():
        raise UsageError(f"open_clip has no model {name!r}", remedy=nearest(name, open_clip.list_models()))
    if weights == RANDOM:
        with _quiet_library("root"), _told_errors(f"open_clip:{name}", weights):
            clip = open_clip.create_model(name, force_image_size=image_size, **arguments)
    else:
        clip, _, _ = load_clip(f"open_clip:{name}@{weights or tag}", image_size=image_size, arguments=arguments)
    visual = clip.visual
    size = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
    own = visual.preprocess_cfg
    return visual, OwnPreprocessing(size, tuple(own["mean"]), tuple(own["std"]), own["interpolation"])


def _refuse_pickles(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise InputError(
            "is not a .safetensors file; other weight files are pickles, which can run code", path=path,
            remedy="Convert it with safetensors.torch.save_file.",
        )  # fmt: skip


@contextlib.contextmanager
def _told_errors(name: str, weights: str) -> Iterator[None]:
    """What a library raises while it builds a tower, as an error that says whether file or arguments were wrong."""
    try:
        yield
    except _CONFIGURATION_ERRORS as error:
        raise UsageError(f"{name} does not take these arguments: {hub.first_line(error)}") from error
    except RuntimeError as error:
        if weights == RANDOM:
            raise UsageError(f"{name} cannot be built with these arguments: {hub.first_line(error)}") from error
        raise InputError(f"does not fit {name}: {hub.first_line(error)}", path=weights) from error
    except SafetensorError as error:
        raise InputError(f"is no whole safetensors file: {hub.first_line(error)}", path=weights) from error


@contextlib.contextmanager
def _quiet_library(name: str) -> Iterator[None]:
    """No log lines of the library: what matters of them is said in our errors."""
    logger = logging.getLogger(None if name == "root" else name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
