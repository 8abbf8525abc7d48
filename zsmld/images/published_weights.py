"""Weights of a timm tower out of somebody's checkpoint: under the names that they were published with, or timm's own.

timm keeps, beside a model whose published weights have other names than its own, the function that renames them (and of
TResNet makes ordinary batch normalisation of the in-place one, which reads its scale without the sign).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from torch import Tensor, nn

from zsmld.errors import InputError

# PyTorch counts batches beside its statistics; other layers that are normalised in batches do not.
_COUNTER = "num_batches_tracked"


def load_published(tower: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load the weights of a tower, all of them and no others.

    Args:
        tower: of timm.
        tensors: as they were published.
        name: of the tower, for errors.

    Raises:
        InputError: names the first tensor that is missing, too many, or of another shape.
    """
    renamed = _renamed(tower, tensors, name)
    own = tower.state_dict()
    missing = [key for key in own if key not in renamed and not key.endswith(_COUNTER)]
    extra = [key for key in renamed if key not in own]
    of_another_shape = [key for key in own if key in renamed and renamed[key].shape != own[key].shape]
    remedy = "Name the backbone that the checkpoint was trained with, with its --backbone-arg."
    if of_another_shape:
        key = of_another_shape[0]
        raise InputError(
            f"does not fit {name}: {key} has shape {tuple(renamed[key].shape)}, expected {tuple(own[key].shape)}",
            remedy=remedy,
        )
    if missing or extra:
        told = f"lacks {missing[0]!r}{_more(missing)}" if missing else f"has no place for {extra[0]!r}{_more(extra)}"
        subject = "the checkpoint" if missing else "the backbone"
        raise InputError(f"does not fit {name}: {subject} {told}", remedy=remedy)
    tower.load_state_dict(renamed, strict=False)  # what may lack are counters


def _renamed(tower: nn.Module, tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    rename = getattr(sys.modules[type(tower).__module__], "checkpoint_filter_fn", None)
    if rename is None:
        return dict(tensors)
    try:
        renamed: dict[str, Tensor] = rename(dict(tensors), tower)
    except (KeyError, ValueError, RuntimeError, AttributeError, TypeError, IndexError) as error:
        # These functions expect what was published, and say nothing of what is not.
        raise InputError(f"does not fit {name}: {type(error).__name__} {' '.join(str(error).split())[:120]}") from error
    return renamed


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""
