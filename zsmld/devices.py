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
    name = "cpu" if name == "auto" and not torch.cuda.is_available() else name
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda"
    if not available[name]:
        raise EnvironmentFailure(f"--device {name}: this machine has none", remedy="Use --device cpu.")
    # The one that this process was given, where several compute together.
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)
