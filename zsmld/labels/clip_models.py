"""Load an open_clip model from `open_clip:MODEL@WEIGHTS`, `open_clip:local-dir:FOLDER` or `open_clip:hf-hub:ORG/NAME`.

WEIGHTS is a tag of open_clip or a safetensors file. open_clip itself gives random weights, with a mere warning, where
none are named, opens pickles, and waits half a minute for a hub that does not answer; here each of these is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from zsmld import files, hub
from zsmld.errors import EnvironmentFailure, InputError, UsageError, nearest
from zsmld.hub import first_line
from zsmld.labels.embeddings import listed

PREFIX = "open_clip:"
_LOCAL, _HUB = "local-dir:", "hf-hub:"
_EXPECTED = "open_clip:MODEL@WEIGHTS, open_clip:local-dir:FOLDER or open_clip:hf-hub:ORG/NAME"
_CONFIG, _WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


@dataclass(frozen=True)
class ClipSource:
    """A source that was checked as far as it can be without loading it.

    Attributes:
        spec: the source as given, paths made absolute.
        model: what open_clip calls the model (`ViT-B-32`, `local-dir:...`).
        weights: the safetensors file; None for a folder, which names its own.
        quick_gelu: the weights were trained with QuickGELU, so the model must compute it.
    """

    spec: str
    model: str
    weights: Path | None = None
    quick_gelu: bool = False


class Clip(NamedTuple):
    """A model that has been loaded.

    Attributes:
        model: the open_clip model, both towers, float32, in eval mode.
        tokenizer: texts → (n, context length) token numbers.
        source: what it was loaded from.
    """

    model: Any
    tokenizer: Any
    source: ClipSource


def load_clip(spec: str, *, image_size: int | None = None, arguments: Mapping[str, Any] | None = None) -> Clip:
    """Load the model of `spec` onto the CPU.

    Args:
        spec: see the top of this file.
        image_size: side of the square input in pixels instead of the model's own.
        arguments: extra arguments of the model.

    Raises:
        UsageError: an unknown model or tag, or no weights named.
        InputError: weights that are absent, damaged, pickled, or of another model.
        EnvironmentFailure: weights that are not on this machine and cannot be fetched.
    """
    import open_clip

    source = resolve(spec)
    tokenizer = _tokenizer(source)
    where = source.weights or source.model.removeprefix(_LOCAL)
    try:
        model = open_clip.create_model(
            source.model,
            pretrained=str(source.weights) if source.weights else None,
            force_quick_gelu=source.quick_gelu,
            require_pretrained=True,
            force_image_size=image_size,
            **(arguments or {}),
        )
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, AttributeError, AssertionError) as error:
        raise InputError(f"does not fit {source.model}: {first_line(error)}", path=where) from error
    except Exception as error:
        # safetensors' error derives from Exception alone.
        if type(error).__name__ != "SafetensorError":
            raise
        raise InputError(f"is truncated or malformed: {error}", path=where, remedy="Fetch it again.") from error
    return Clip(model.eval(), tokenizer, source)


def _tokenizer(source: ClipSource) -> Any:
    import open_clip

    name = source.model
    # Few models have a tokenizer of the hub instead of open_clip's own; one in a folder has it in the folder.
    from_hub = open_clip.get_model_config(name)["text_cfg"].get("hf_tokenizer_name")
    if from_hub and not source.spec.startswith(PREFIX + _LOCAL):
        _fetched(from_hub, "tokenizer_config.json")
        name = source.spec.removeprefix(PREFIX).partition("@")[0]
    try:
        return open_clip.get_tokenizer(name)
    except ImportError as error:
        raise EnvironmentFailure(
            f"the tokenizer of {source.model} needs a package that is missing: {first_line(error)}",
            remedy="Install open_clip_torch[training].",
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise EnvironmentFailure(
            f"the tokenizer of {source.model} cannot be loaded: {first_line(error)}",
            remedy="Load it once with network, or take a model with open_clip's own tokenizer, such as ViT-B-32.",
        ) from error


def resolve(spec: str) -> ClipSource:
    """Check `spec`, and fetch its weights where they are named by tag or hub name."""
    name = spec.removeprefix(PREFIX)
    if name == spec or not name:
        raise UsageError(f"{spec!r} is no open_clip source, expected {_EXPECTED}")
    if name.startswith(_LOCAL):
        return _in_folder(files.expanded(name.removeprefix(_LOCAL)).absolute())
    if name.startswith(_HUB):
        repository = name.removeprefix(_HUB)
        config = _fetched(repository, _CONFIG)
        _fetched(repository, _WEIGHTS)
        return replace(_in_folder(config.parent), spec=spec)
    model, _, weights = name.partition("@")
    _check_model(model)
    if not weights:
        raise UsageError(
            f"{spec!r} names no weights, expected open_clip:MODEL@WEIGHTS",
            remedy=f"Add @ and a safetensors file or a tag ({listed(_tags(model)) or 'it has none'}).",
        )
    return _tagged(spec, model, weights) or _from_file(model, files.expanded(weights).absolute())


def _check_model(model: str) -> None:
    import open_clip

    known = open_clip.list_models()
    if model not in known:
        hint = nearest(model, known) or "open_clip.list_models() lists them."
        raise UsageError(f"open_clip has no model {model!r}", remedy=hint)


def _tags(model: str) -> list[str]:
    import open_clip

    tags: list[str] = open_clip.list_pretrained_tags_by_model(model)
    return tags


def _in_folder(folder: Path) -> ClipSource:
    if not folder.is_dir():
        raise InputError("no such folder", path=folder)
    config = files.read_json(folder / _CONFIG)
    model = config.get("model_cfg") if isinstance(config, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("text_cfg"), dict):
        raise InputError(
            "lacks 'model_cfg' with 'text_cfg', expected the configuration of an open_clip model", path=folder / _CONFIG
        )
    # open_clip prefers a pickle to a safetensors file of any other name.
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pth")]
    if not (folder / _WEIGHTS).exists() and (pickles or not any(folder.glob("*.safetensors"))):
        raise InputError(
            f"holds no {_WEIGHTS}", path=folder, remedy="Convert the weights with safetensors.torch.save_file."
        )
    return ClipSource(f"{PREFIX}{_LOCAL}{folder}", f"{_LOCAL}{folder}")


def _from_file(model: str, path: Path) -> ClipSource:
    if not path.exists():
        hint = nearest(path.name, _tags(model))
        raise UsageError(f"{path.name!r} is neither a tag of {model} nor a file", remedy=hint or "Check the spelling.")
    if path.suffix != ".safetensors":
        raise InputError(
            "is not a .safetensors file; other weight files are pickles, which can run code", path=path,
            remedy="Convert it with safetensors.torch.save_file.",
        )  # fmt: skip
    return ClipSource(f"{PREFIX}{model}@{path}", model, path)


def _tagged(spec: str, model: str, tag: str) -> ClipSource | None:
    import open_clip

    config = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        return None
    quick_gelu = bool(config.get("quick_gelu"))
    if not quick_gelu and model.endswith("-quickgelu"):
        plain = model.removesuffix("-quickgelu")
        raise UsageError(f"{model} computes QuickGELU, {tag!r} was trained without", remedy=f"Use {plain}@{tag}.")
    repository, _, filename = config.get("hf_hub", "").rpartition("/")
    if not repository:
        raise UsageError(f"{tag!r} of {model} is published as a pickle only", remedy="Convert it to safetensors.")
    stem, _, suffix = filename.rpartition(".")
    filename = f"{stem}.safetensors" if suffix else _WEIGHTS
    return ClipSource(spec, model, _fetched(repository, filename), quick_gelu)


def _fetched(repository: str, filename: str) -> Path:
    return hub.fetched(
        repository,
        filename,
        remedy=f"name it as open_clip:MODEL@FILE, or put it with {_CONFIG} into a folder and name that as "
        "open_clip:local-dir:FOLDER",
    )
