"""An `nn.Module` → the bytes of an ONNX file, and how far its logits in onnxruntime are from those in PyTorch.

Shapes: B images, T tokens, C token width, L labels, E label-embedding width.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zsmld.decoder.model_folder import TrainedModel
from zsmld.decoder.two_path import TwoPathHead
from zsmld.errors import EnvironmentFailure, InputError
from zsmld.images.features import GivenTokens

# By the name of the input, in the order of the arguments of `forward`.
Inputs = dict[str, Tensor]

# The newest that onnxruntime 1.32 runs.
OPSET = 25
IMAGES, TOKENS, LABELS, LOGITS = "images", "tokens", "label_embeddings", "logits"
# Which axes of an input have any length, and their names in the file.
_DYNAMIC = {IMAGES: {0: "batch"}, TOKENS: {0: "batch", 1: "tokens"}, LABELS: {0: "labels"}}
# What is compared: 1 of anything is what an exporter takes for a constant most easily.
BATCHES = (1, 2, 5)
LABEL_COUNTS = (1, 81, 1006)
TOKEN_COUNTS = (1, 49, 196)
OTHER_VERSIONS = "Try other versions of onnxruntime and torch."
_SEED = 0


@dataclass(frozen=True)
class Difference:
    """How far onnxruntime's logits are from PyTorch's.

    Attributes:
        labels: L of the logits.
        largest: absolute difference.
        scale: largest absolute logit of PyTorch.
    """

    labels: int
    largest: float
    scale: float


def convert(module: nn.Module, inputs: Inputs, metadata: Mapping[str, str]) -> bytes:
    """The ONNX file of a module in eval mode.

    Args:
        module: gives logits (B,L).
        inputs: any that it takes, with more than one of everything.
        metadata: what the file says of itself.

    Raises:
        InputError: PyTorch's exporter cannot follow the module.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    try:
        with _unheard():
            program = torch.onnx.export(
                module, kwargs=dict(inputs), dynamo=True, opset_version=OPSET, verbose=False,
                dynamic_shapes={name: _DYNAMIC[name] for name in inputs},
                input_names=list(inputs), output_names=[LOGITS],
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        # The error itself is a page of advice for those who write exporters.
        cause = error.__cause__ or error
        reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)[:200]
        raise InputError(f"cannot be turned into ONNX: {reason}") from error
    assert program is not None
    # The exporter notes at every node which line of which file of this machine it comes from.
    ClearMetadataAndDocStringPass()(program.model)
    program.model.metadata_props.update(metadata)
    data: bytes = program.model_proto.SerializeToString()
    return data


def differences(data: bytes, module: nn.Module, trained: TrainedModel) -> list[Difference]:
    """Run the file in onnxruntime, and the module in PyTorch, on the same random inputs.

    Returns:
        the largest of each number of labels.

    Raises:
        EnvironmentFailure: onnxruntime cannot run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors, which are raised as well
    options.intra_op_num_threads = torch.get_num_threads()
    found: dict[int, Difference] = {}
    with _told_errors():
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for inputs in _trials(trained, whole=module is trained.model):
        with torch.inference_mode():
            expected: Tensor = module(**inputs)
        with _told_errors():
            (logits,) = session.run([LOGITS], {name: tensor.numpy() for name, tensor in inputs.items()})
        labels = expected.shape[1]
        before = found.get(labels, Difference(labels, 0.0, 0.0))
        largest = max(before.largest, _apart(torch.from_numpy(logits), expected))
        found[labels] = Difference(labels, largest, max(before.scale, expected.abs().max().item()))
    return list(found.values())


def _apart(logits: Tensor, expected: Tensor) -> float:
    """The largest difference; another shape, and what is no number, is as far apart as can be."""
    if logits.shape != expected.shape:
        return torch.inf
    return torch.nan_to_num((logits - expected).abs(), nan=torch.inf).max().item()


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep to itself what the exporter writes and logs: the graph where it fails, what it did not make simpler."""
    heard = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        # Of towers that keep something that they have computed. Whether the file is right is seen when it is run.
        warnings.filterwarnings("ignore", r"The tensor attributes? self\.", UserWarning)
        yield


@contextlib.contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # onnxruntime has a dozen classes of errors, without a common one.
        reason = " ".join(str(error).split())[:200]
        problem = f"onnxruntime cannot run the exported model: {reason}"
        raise EnvironmentFailure(problem, remedy=OTHER_VERSIONS) from error


def random_inputs(
    trained: TrainedModel, *, whole: bool, batch: int, labels: int, tokens: int, generator: torch.Generator
) -> Inputs:
    """Inputs of the scale that the model is used to.

    Args:
        trained: the model.
        whole: for all of it; else for its head.
        batch: B.
        labels: L, every second one a label of the model's own, which a linear path knows by its vector.
        tokens: T of the head; a backbone makes as many as it does.
        generator: of the random numbers.
    """
    model = trained.model
    if whole:
        assert not isinstance(model.backbone, GivenTokens)
        side = model.backbone.image_size
        inputs = {IMAGES: torch.randn(batch, 3, side, side, generator=generator)}
    else:
        inputs = {TOKENS: torch.randn(batch, tokens, model.backbone.channels, generator=generator)}
        if isinstance(model.head, TwoPathHead):
            inputs[TOKENS] = model.head.linear.mean + model.head.linear.deviation * inputs[TOKENS]
    if trained.labels is not None:
        own = torch.from_numpy(trained.labels.vectors)
        vectors = own.square().mean().sqrt() * torch.randn(labels, own.shape[1], generator=generator)
        known = len(vectors[1::2])
        vectors[1::2] = own[torch.arange(known) % len(own)]
        inputs[LABELS] = vectors
    return inputs


def _trials(trained: TrainedModel, *, whole: bool) -> Iterator[Inputs]:
    generator = torch.Generator().manual_seed(_SEED)
    label_counts = (0,) if trained.labels is None else LABEL_COUNTS
    token_counts = (0,) if whole else TOKEN_COUNTS
    for labels, batch, tokens in itertools.product(label_counts, BATCHES, token_counts):
        yield random_inputs(trained, whole=whole, batch=batch, labels=labels, tokens=tokens, generator=generator)
