"""Several processes that train or evaluate together, as `torchrun` starts them.

    torchrun --nproc-per-node 2 -m -- zsmld train --seen seen.txt

All of them compute the same, but for the images, of which each takes its share. The first one alone writes files and
speaks. Without torchrun there is one process, and everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zsmld import console, files
from zsmld.errors import EnvironmentFailure, ZsmldError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


@dataclass
class _World:
    rank: int = 0
    size: int = 1


_world = _World()


def rank() -> int:
    """Which of the processes this is; 0 is the first."""
    return _world.rank


def size() -> int:
    """How many processes there are."""
    return _world.size


@contextmanager
def together(device: str) -> Iterator[None]:
    """Join the other processes that torchrun started, for the time of the block.

    Args:
        device: a `--device` setting: NCCL where it is a GPU, else gloo.

    Raises:
        EnvironmentFailure: the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or _world.size > 1:
        yield
        return
    import torch

    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    try:
        if on_gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EnvironmentFailure(f"the other processes cannot be reached: {reason}") from error
    _world.rank, _world.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    try:
        with console.silent(_world.rank > 0), files.without_writing(_world.rank > 0):
            yield
    finally:
        _world.rank, _world.size = 0, 1
        torch.distributed.destroy_process_group()


def share(count: int) -> NDArray[np.int64]:
    """This process's part of `count` things, as numbers: in turns, so that all parts are of one length, or nearly."""
    return np.arange(_world.rank, count, _world.size)


def wait() -> None:
    """Wait for all processes."""
    gathered(None)


def gathered(value: T) -> list[T]:
    """What each process has, in their order."""
    if _world.size == 1:
        return [value]
    import torch

    found: list[Any] = [None] * _world.size
    torch.distributed.all_gather_object(found, value)
    return found


def from_first(compute: Callable[[], T]) -> T:
    """What the first process computes, in all of them; so does what it raises."""
    if _world.size == 1:
        return compute()
    told: list[Any] = [None, None]
    if _world.rank == 0:
        try:
            told[0] = compute()
        except ZsmldError as error:
            told[1] = error
    told = gathered(told)[0]
    if told[1] is not None:
        raise told[1]
    value: T = told[0]
    return value


def add_up(tensor: Tensor) -> None:
    """Let every process have the sum of what all have, in place."""
    if _world.size > 1:
        import torch

        torch.distributed.all_reduce(tensor)


def add_up_gradients(parameters: Iterable[nn.Parameter], loss: Tensor) -> float:
    """The sum of all processes' losses; their gradients are added up in place."""
    if _world.size == 1:
        return float(loss)
    import torch

    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients] + [loss.to(gradients[0]).view(1)])
    add_up(flat)
    totals = torch.split(flat[:-1], [gradient.numel() for gradient in gradients])
    for gradient, total in zip(gradients, totals, strict=True):
        gradient.copy_(total.view_as(gradient))
    return float(flat[-1])


def add_up_rows(array: NDArray[np.float32]) -> None:
    """The same of an array whose rows are zero but in the one process that has computed them: exact."""
    if _world.size > 1:
        import torch

        # NCCL knows tensors on its GPU alone.
        on_gpu = torch.distributed.get_backend() == "nccl"
        tensor = torch.from_numpy(array).to("cuda" if on_gpu else "cpu")
        torch.distributed.all_reduce(tensor)
        array[...] = tensor.cpu().numpy()
