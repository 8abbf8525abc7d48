"""A small TResNet as ML-Decoder publishes it: its tensors under the published names, with in-place batch normalisation.

The published code numbers the parts of a convolution (`conv1.0`, `conv1.1`), puts those before an anti-aliasing layer
one deeper (`conv2.0.0`), and its in-place normalisation reads a scale w as |w| + 1e-5 and counts no batches.
"""

import re

import timm
import torch

ARGUMENTS = {
    "tresnet_v2_l": {"layers": [1, 2, 1, 1], "width_factor": 0.25},
    "tresnet_m": {"layers": [1, 2, 1, 1], "width_factor": 0.125},
}
# Which convolutions of the first block of a stage an anti-aliasing layer follows: of bottlenecks and of basic blocks.
_ANTI_ALIASED = {"tresnet_v2_l": r"layer[234]\.0\.conv2", "tresnet_m": r"layer2\.0\.conv1|layer[34]\.0\.conv2"}
EPSILON = 1e-5


def published_tower(name):
    """A timm model with random weights and statistics, and its tensors as the published code would save them."""
    torch.manual_seed(0)
    tower = timm.create_model(name, num_classes=0, **ARGUMENTS[name]).eval()
    own, published = tower.state_dict(), {}
    for key, tensor in own.items():
        if key.endswith("num_batches_tracked"):
            continue
        if key.endswith("bn.weight"):
            signed = torch.randn_like(tensor) * 0.5
            own[key], tensor = signed.abs() + EPSILON, signed
        elif key.endswith(("bn.bias", "running_mean")):
            own[key] = tensor = torch.randn_like(tensor) * 0.1
        published[_name(key, _ANTI_ALIASED[name])] = tensor
    tower.load_state_dict(own)
    return tower, published


def _name(key, anti_aliased):
    key = re.sub(rf"({anti_aliased})\.(conv|bn)", lambda found: f"{found[1]}.0.{found[2]}", key)
    return re.sub(r"\.(conv|bn)\.", lambda found: ".0." if found[1] == "conv" else ".1.", key)
