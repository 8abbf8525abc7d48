"""Logits of the validation images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsmld import distributed
from zsmld.decoder.head import MLDecoder
from zsmld.decoder.model import ZeroShotModel
from zsmld.training.feeding import Part

# Images that are scored at a time.
_AT_ONCE = 64


@torch.no_grad()
def logits_of(
    module: MLDecoder | ZeroShotModel, part: Part, label_embeddings: Tensor | None, device: torch.device
) -> NDArray[np.float32]:
    """Logits (I,L) of the images of a part; several processes compute a share each, and all have all.

    Args:
        module: in evaluation mode.
        part: the images.
        label_embeddings: (L,E) on the device; None for a closed-set head.
        device: where the module is.
    """
    score = module.for_inference(label_embeddings)
    pieces = [np.arange(i, min(i + _AT_ONCE, len(part.rows))) for i in range(0, len(part.rows), _AT_ONCE)]
    columns = part.targets.labels if label_embeddings is None else len(label_embeddings)
    logits = np.zeros((len(part.rows), columns), dtype=np.float32)
    for number in distributed.share(len(pieces)):
        inputs = part.inputs.read(part.rows[pieces[number]]).to(device)
        logits[pieces[number]] = score(inputs).float().cpu().numpy()
    distributed.add_up_rows(logits)
    return logits
