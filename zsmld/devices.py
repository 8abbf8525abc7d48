"""Where the arithmetic is done."""

from __future__ import annotations

import torch

from zsmld.errors import EnvironmentFailure

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device of a `--device` setting; `auto` takes a GPU where there is one.

    Raises:
        EnvironmentFailure: a device that this machine lacks.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[name]:
        raise EnvironmentFailure(f"--device {name}: this machine has none", remedy="Use --device cpu.")
    return torch.device(name)
