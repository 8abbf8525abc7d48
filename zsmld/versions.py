"""Which versions computed something: what must be known to repeat it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("zsmld", "torch", "timm", "open_clip_torch", "numpy", "pillow", "safetensors")


def versions() -> dict[str, str]:
    """Python, the platform and the packages that figures depend on; `absent` where one is not installed."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
