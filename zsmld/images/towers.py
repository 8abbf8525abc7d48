"""What differs between timm and open_clip: building a tower, its weights, its own preprocessing, its feature map."""

from __future__ import annotations

import contextlib
import dataclasses
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
_CONFIGURATION_ERRORS = (TypeError, ValueError, AssertionError, LookupError, AttributeError, ArithmeticError)
# Arguments of timm's factory, not of a model: the description of a tower may come from anybody, and has no say in them.
_OF_THE_FACTORY = frozenset({
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable",
    "exportable", "no_jit",
})  # fmt: skip
# The class that holds an image tower insists on a text tower beside it; the smallest one there is.
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class OwnPreprocessing:
    """What a tower was trained with."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str


@dataclass(frozen=True)
class Tower:
    """A tower as its library builds it.

    Attributes:
        module: in eval mode, float32, on the CPU.
        own: how it was published to be fed.
        architecture: for open_clip what `from_architecture` builds the same tower from, empty for timm, where the
            name does. open_clip's names do not tell the activation, and its folders have no name.
    """

    module: nn.Module
    own: OwnPreprocessing
    architecture: dict[str, Any]


def build(name: str, weights: str | None, arguments: Mapping[str, Any], image_size: int | None) -> Tower:
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


def from_architecture(architecture: Mapping[str, Any]) -> nn.Module:
    """The open_clip image tower of a `Tower.architecture`, with random weights.

    Raises:
        UsageError: no such architecture.
    """
    import open_clip

    with _quiet_library("root"), _told_errors("open_clip", RANDOM):
        vision = {**architecture["vision_cfg"], "timm_model_pretrained": False}
        if ":" in (vision.get("timm_model_name") or ""):
            raise ValueError("a tower of timm has no address")  # timm would ask the hub what it is
        quick_gelu = bool(architecture["quick_gelu"])
        clip = open_clip.CLIP(int(architecture["embed_dim"]), vision, dict(_NO_TEXT), quick_gelu)
        visual: nn.Module = clip.visual
        if hasattr(visual, "set_input_size"):
            visual.set_input_size(vision["image_size"])  # type: ignore[operator]
    return visual.eval()


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


def _build_timm(model: str, weights: str | None, arguments: Mapping[str, Any], image_size: int | None) -> Tower:
    import timm
    from timm.data import resolve_model_data_config

    if not timm.is_model(model):
        raise UsageError(f"timm has no model {model!r}", remedy=nearest(model, timm.list_models()))
    if foreign := sorted(_OF_THE_FACTORY & set(arguments)):
        raise UsageError(f"{foreign[0]!r} is no argument of a model", remedy="Leave it out.")
    options: dict[str, Any] = dict(arguments)
    with _told_errors(f"timm:{model}", RANDOM):
        published = timm.get_pretrained_cfg(model)
    if image_size is not None and getattr(published, "fixed_input_size", False):
        # Transformers are built for one size; convolutional towers take any and know no such argument.
        options.setdefault("img_size", image_size)
    if weights is None:
        weights = str(_published(model))
    if weights != RANDOM:
        _check_weights(Path(weights))
        # custom_load names another format, in which the published weights of some towers come.
        options["pretrained_cfg_overlay"] = {"file": weights, "custom_load": False}
    with _quiet_library("timm"), _told_errors(f"timm:{model}", weights):
        tower: nn.Module = timm.create_model(model, pretrained=weights != RANDOM, **options)
    if not hasattr(tower, "forward_intermediates"):
        raise UsageError(f"timm:{model} does not give its feature maps, it cannot be a backbone")
    own = resolve_model_data_config(tower)
    return Tower(
        tower.eval(), OwnPreprocessing(own["input_size"][1], own["mean"], own["std"], own["interpolation"]), {}
    )


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


def _build_open_clip(model: str, weights: str | None, arguments: Mapping[str, Any], image_size: int | None) -> Tower:
    import open_clip

    from zsmld.labels import clip_models

    name, _, tag = model.partition("@")
    if weights == RANDOM:
        if name not in open_clip.list_models():
            raise UsageError(f"open_clip has no model {name!r}", remedy=nearest(name, open_clip.list_models()))
        source = clip_models.ClipSource(f"open_clip:{name}", name)
    else:
        chosen = weights or tag
        source = clip_models.resolve(f"open_clip:{name}@{chosen}" if chosen else f"open_clip:{name}")
    architecture = _architecture(source.model, arguments, image_size)
    architecture["quick_gelu"] = architecture["quick_gelu"] or source.quick_gelu
    if weights == RANDOM:
        visual = from_architecture(architecture)
        own: Mapping[str, Any] = {}
    else:
        where = str(source.weights or source.model.partition(":")[2])
        with _quiet_library("root"), _told_errors(f"open_clip:{name}", where):
            clip = open_clip.create_model(
                source.model,
                pretrained=str(source.weights) if source.weights else None,
                require_pretrained=True,
                force_image_size=image_size,
                vision_cfg=architecture["vision_cfg"],
                quick_gelu=architecture["quick_gelu"],
            )
        visual = clip.visual
        own = visual.preprocess_cfg
    if ":" not in name:
        # A folder says it itself; of a model with a name open_clip knows it by tag.
        own = _published_preprocessing(name, tag)
    return Tower(visual.eval(), _own_of_clip(own, architecture["vision_cfg"]["image_size"]), architecture)


def _architecture(model: str, arguments: Mapping[str, Any], image_size: int | None) -> dict[str, Any]:
    """What open_clip says of the image tower of `model`, changed by arguments that its `vision_cfg` has."""
    import open_clip
    from open_clip.model import CLIPVisionCfg

    described = open_clip.get_model_config(model)
    vision = {**dataclasses.asdict(CLIPVisionCfg()), **described["vision_cfg"]}
    known = {*vision, "quick_gelu"}
    for argument in arguments:
        if argument not in known:
            raise UsageError(
                f"open_clip:{model} has no argument {argument!r}, expected one of {', '.join(sorted(known))}",
                remedy=nearest(argument, known),
            )
    vision |= {key: value for key, value in arguments.items() if key != "quick_gelu"}
    # Some towers of open_clip are timm's, which would fetch weights of their own first.
    vision["timm_model_pretrained"] = False
    if image_size is not None:
        vision["image_size"] = image_size
    quick_gelu = arguments.get("quick_gelu", described.get("quick_gelu", False))
    return {"embed_dim": described["embed_dim"], "vision_cfg": vision, "quick_gelu": bool(quick_gelu)}


def _published_preprocessing(model: str, tag: str) -> Mapping[str, Any]:
    """What the weights `tag` were trained with; for those of a file, what all published ones of the model were."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    stated = [open_clip.get_pretrained_cfg(model, each) for each in ([tag] if tag in tags else tags)]
    agreed: dict[str, Any] = {}
    for key in ("mean", "std", "interpolation"):
        values = {each.get(key) for each in stated}
        if len(values) == 1 and None not in values:
            agreed[key] = values.pop()
    return agreed


def _own_of_clip(own: Mapping[str, Any], image_size: int | tuple[int, int]) -> OwnPreprocessing:
    from open_clip.transform import PreprocessCfg

    default = PreprocessCfg()
    return OwnPreprocessing(
        image_size=image_size if isinstance(image_size, int) else image_size[0],
        mean=tuple(own.get("mean", default.mean)),
        std=tuple(own.get("std", default.std)),
        interpolation=own.get("interpolation", default.interpolation),
    )


def _check_weights(path: Path) -> None:
    """Refuse what is no safetensors file before a library tries to unpickle it."""
    if not path.is_file():
        raise InputError("no such weights file", path=path, remedy="Check --backbone-weights.")
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
    except KeyError as error:
        # The filters that libraries have for published weights fail on the names of foreign ones.
        if weights != RANDOM:
            raise InputError(f"does not fit {name}: no tensor {_reason(error)}", path=weights) from error
        raise UsageError(f"{name} does not take these arguments: {_reason(error)}") from error
    except _CONFIGURATION_ERRORS as error:
        raise UsageError(f"{name} does not take these arguments: {_reason(error)}") from error
    except RuntimeError as error:
        if weights == RANDOM:
            raise UsageError(f"{name} cannot be built with these arguments: {_reason(error)}") from error
        raise InputError(f"does not fit {name}: {_reason(error)}", path=weights) from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"is no whole safetensors file: {_reason(error)}", path=weights) from error


def _reason(error: BaseException) -> str:
    # PyTorch lists what is missing behind a first line that says nothing.
    return " ".join(str(error).split())[:200] or type(error).__name__


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
