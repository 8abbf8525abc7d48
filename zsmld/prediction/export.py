"""A model folder → one ONNX file, which gives the model's logits without zsmld (docs/export.md).

What is exported are the plain modules, as they were trained: `inference.py` computes the same for one vocabulary that
it knows beforehand, here label embeddings are an input. Before anything is written the file is run in onnxruntime.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zsmld import __version__, config, console, files
from zsmld.decoder.model_folder import TrainedModel, load_model
from zsmld.decoder.probabilities import FILE_NAME as PROBABILITIES
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.images.features import GivenTokens
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.findings import counted
from zsmld.prediction import onnx_graph
from zsmld.prediction.onnx_graph import Difference
from zsmld.settings import ExportSettings

SUFFIX = ".onnx"
# How far logits may be apart; of logits larger than 1 it is a share of the largest, as rounding grows with them.
TOLERANCE = 1e-4
# A protobuf message ends at 2 GiB; what is not weights is far below 64 MiB of it.
LARGEST = 2**31 - 2**26


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how well it was checked.

    Attributes:
        path: of the file.
        size: in bytes.
        differences: of onnxruntime from PyTorch, one a number of labels.
        tokens: which numbers of tokens it was checked with; none of a whole model, whose backbone settles it.
    """

    path: Path
    size: int
    differences: tuple[Difference, ...]
    tokens: tuple[int, ...]

    def told(self) -> list[str]:
        """Lines for people."""
        tokens = f", {_listed(self.tokens)} tokens" if self.tokens else ""
        sizes = f"batches of {_listed(onnx_graph.BATCHES)}{tokens}"
        rows = [
            f"  {counted(each.labels, 'label')}: {each.largest:.1e} (logits up to {each.scale:.3g})"
            for each in self.differences
        ]
        return [
            f"onnxruntime against PyTorch, {sizes}: largest difference of a logit",
            *rows,
            f"{self.path}: {self.size / 1e6:.1f} MB",
        ]


def export(settings: ExportSettings | None = None, **values: Any) -> Exported:
    """Write a model as one ONNX file.

    Inputs are `images` (B,3,H,W), or with `part="head"` `tokens` (B,T,C), and, unless the model is closed-set,
    `label_embeddings` (L,E); the output is `logits` (B,L). B, T and L are free.

    Args:
        settings: all settings at once, as the command line builds them; or
        values: the fields of `ExportSettings` by name.

    Raises:
        UsageError: the file exists, has another suffix than .onnx, or the model has no such part or is too large.
        InputError: no finished model in the folder, or one that cannot be turned into ONNX.
        EnvironmentFailure: onnx, onnxscript or onnxruntime is missing, onnxruntime gives other logits than PyTorch, or
            the file cannot be written.
    """
    settings = settings or config.build(ExportSettings, values)
    if settings.output.suffix.lower() != SUFFIX:
        raise UsageError(f"is no name for an ONNX file, expected NAME{SUFFIX}", path=settings.output)
    files.refuse_overwrite(settings.output, force=settings.force)
    _refuse_missing_libraries()
    trained = load_model(settings.model)
    module = _part(trained, settings.part)
    refuse_large(module, settings.model)
    # Opened before the work, so that a folder that cannot be written to is refused now, and filled behind the check.
    with files.atomic_writer(settings.output, force=settings.force) as stream:
        console.info(f"exporting the {settings.part} of {settings.model}")
        data = _converted(trained, module, metadata_of(trained, settings.part))
        found = onnx_graph.differences(data, module, trained)
        refuse_differences(found, settings.output)
        stream.write(data)
    whole = module is trained.model
    return Exported(settings.output, len(data), tuple(found), () if whole else onnx_graph.TOKEN_COUNTS)


def metadata_of(trained: TrainedModel, part: str) -> dict[str, str]:
    """What a file says of itself, all of it text; docs/export.md lists it."""
    backbone = trained.model.backbone
    about = {
        "zsmld_version": __version__,
        "kind": "closed-set" if trained.closed_set else "zero-shot",
        "part": part,
        "backbone": str(backbone.to_config()["name"]),
        "activation": "softmax" if trained.single_label else "sigmoid",
        "seen": files.to_json(list(trained.seen)),
    }
    if trained.labels is not None:
        about["label_features"] = str(trained.labels.width)
        about["label_source"] = files.to_json(_sources(trained.labels))
    if not isinstance(backbone, GivenTokens):
        about["preprocessing"] = files.to_json(asdict(backbone.preprocess) | {"resize": "squash"})
    probabilities = trained.folder / PROBABILITIES
    if probabilities.exists():
        about["probabilities"] = files.read_text(probabilities)
    return about


def _sources(labels: LabelEmbeddings) -> list[dict[str, Any]]:
    """What tells the space of the vectors; files without their folders, which mean nothing on another machine."""
    return [
        {
            "source": Path(part.source.partition("::")[0]).name,
            "kind": part.kind,
            "digest": part.digest,
            "width": part.width,
            "weight": part.weight,
            "templates": list(part.templates),
            "composition": part.composition,
        }
        for part in labels.provenance.parts
    ]


def _part(trained: TrainedModel, part: str) -> nn.Module:
    if part == "head":
        return trained.model.head
    if isinstance(trained.model.backbone, GivenTokens):
        raise UsageError(
            "was trained on ready-made features, and has no backbone to export", path=trained.folder,
            remedy="Give --part head.",
        )  # fmt: skip
    return trained.model


def _converted(trained: TrainedModel, module: nn.Module, metadata: dict[str, str]) -> bytes:
    whole = module is trained.model
    generator = torch.Generator().manual_seed(0)
    inputs = onnx_graph.random_inputs(trained, whole=whole, batch=2, labels=3, tokens=7, generator=generator)
    try:
        return onnx_graph.convert(module, inputs, metadata)
    except InputError as error:
        remedy = f"Give --part head, and run {metadata['backbone']} by other means." if whole else None
        raise InputError(error.problem, path=trained.folder, remedy=remedy) from error


def _refuse_missing_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise EnvironmentFailure(
            f"{error.name or 'a library'} is not installed", remedy="Run pip install 'zsmld[export]'."
        ) from error


def refuse_large(module: nn.Module, folder: Path) -> None:
    """Refuse weights that one protobuf message cannot hold."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    if size > LARGEST:
        raise UsageError(
            f"has weights of {size / 2**30:.2f} GiB, and one ONNX file holds less than 2 GiB", path=folder,
            remedy="Give --part head, or train with a smaller backbone.",
        )  # fmt: skip


def refuse_differences(found: list[Difference], output: Path) -> None:
    """Refuse a file whose logits are too far from the model's."""
    for each in found:
        admitted = TOLERANCE * max(1.0, each.scale)
        if not each.largest <= admitted < math.inf:
            raise EnvironmentFailure(
                f"not written: with {counted(each.labels, 'label')} onnxruntime's logits differ from PyTorch's by "
                f"{each.largest:.1e}, expected at most {admitted:.1e}", path=output,
                remedy=onnx_graph.OTHER_VERSIONS,
            )  # fmt: skip


def _listed(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
