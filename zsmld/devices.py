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


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products in bfloat16, with which it is the faster for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))
