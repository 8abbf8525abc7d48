"""Checkpoints: everything that a run needs to go on as if it had never stopped, in one tensor file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsmld import distributed, files
from zsmld.errors import InputError
from zsmld.tensors import read_tensors, write_tensors

FILE_NAME = "checkpoint.safetensors"
_FORMAT = "2"


@dataclass
class Progress:
    """Where a run stands; all of it goes into the checkpoint as JSON."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_figure: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Checkpoint:
    """Named groups of tensors (model, average, best, optimiser, random states) and the small state as JSON values."""

    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write to `path`, whole or not at all: the earlier checkpoint stays until this one is safe."""
        arrays = {
            f"{group}/{name}": tensor.detach().cpu().numpy()
            for group, named in self.tensors.items()
            for name, tensor in named.items()
        }
        write_tensors(path, arrays, {"format": _FORMAT, "state": files.to_json(self.state)})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read what `save` wrote.

        Raises:
            InputError: absent, damaged, or of another format.
        """
        arrays, metadata = read_tensors(path)
        if metadata.get("format") != _FORMAT or "state" not in metadata:
            raise InputError(
                f"is a checkpoint of format {metadata.get('format')!r}, expected {_FORMAT!r}", path=path,
                remedy="Start over with --force.",
            )  # fmt: skip
        checkpoint = cls(state=json.loads(metadata["state"]))
        for key, array in arrays.items():
            group, name = key.split("/", 1)
            checkpoint.tensors.setdefault(group, {})[name] = torch.from_numpy(array)
        return checkpoint


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments of every parameter, flat: `7.exp_avg` for the seventh."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, moments in state.items() for name, value in moments.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor], groups: list[Any]) -> None:
    """Put back what `optimizer_tensors` took, and the parameter groups (rates, betas)."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    for group in groups:
        if "betas" in group:
            group["betas"] = tuple(group["betas"])
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def random_states() -> dict[str, Tensor]:
    """The states of torch's generators (dropout masks), of every process, on every device in use."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    of_all = enumerate(distributed.gathered(states))
    return {f"{name}.{rank}": state for rank, own in of_all for name, state in own.items()}


def restore_random_states(states: Mapping[str, Tensor]) -> None:
    """Put back what `random_states` took in this process.

    Raises:
        ValueError: there were fewer processes, or more.
    """
    rank, size = distributed.rank(), sum(name.startswith("cpu.") for name in states)
    if size != distributed.size():
        raise ValueError(f"it is of {size} processes, not of {distributed.size()}")
    torch.set_rng_state(states[f"cpu.{rank}"])
    if f"cuda.{rank}" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[f"cuda.{rank}"])
