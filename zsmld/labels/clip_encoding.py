"""Prompts → features of a CLIP text tower, each computed at its own length.

Text towers are trained on a fixed context, mostly 77 tokens, of which a prompt fills some eight or nine; the rest is
padding. A causal tower that pools at the end-of-text token never looks behind it: there the padding is left out, which
changes nothing but the rounding (1e-7). Other towers get their whole context.

Batches hold prompts of one length and are always full, with one of them repeated where others are wanting. The last
bits of a matrix product depend on its shape, and what comes of a prompt must not depend on those given with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PROMPTS_AT_ONCE = 32


@dataclass(frozen=True)
class _Causal:
    """A text tower whose padding does not count.

    Attributes:
        tower: the module that holds it.
        place: where it is in the model, with a dot behind; empty for the model itself.
        end: the number of the end-of-text token; None where it is the largest of a prompt.
    """

    tower: Any
    place: str
    end: int | None

    @classmethod
    def of(cls, model: Any) -> _Causal | None:
        """The text tower of an open_clip model if it is such a one."""
        from open_clip.model import CLIP, CustomTextCLIP
        from open_clip.transformer import TextTransformer

        if type(model) is CLIP:
            tower, place, pool, end = model, "", model.text_pool_type, model.text_eos_id
        elif type(model) is CustomTextCLIP and type(model.text) is TextTransformer:
            tower, place, pool, end = model.text, "text.", model.text.pool_type, model.text.eos_id
            if tower.cls_emb is not None:
                return None
        else:
            return None
        if tower.attn_mask is None or pool not in ("argmax", "eos"):
            return None
        return cls(tower, place, end if pool == "eos" else None)

    def lengths(self, tokens: Tensor) -> Tensor:
        """(n,): up to the token that is pooled, the first of its kind."""
        pooled: Tensor = tokens.argmax(dim=1) if self.end is None else (tokens == self.end).int().argmax(dim=1)
        return pooled + 1

    def shortened(self, length: int) -> dict[str, Tensor]:
        """What of the tower is as long as its context, cut; by its name in the model."""
        tower = self.tower
        cut = {
            "positional_embedding": tower.positional_embedding[:length],
            "attn_mask": tower.attn_mask[:length, :length],
        }
        return {self.place + name: tensor for name, tensor in cut.items()}


def encode(model: Any, tokens: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Features of prompts, a batch at a time.

    Args:
        model: of open_clip, in eval mode.
        tokens: (n, context length), what its tokenizer gave.

    Yields:
        Rows (m,) of the prompts, and their features (m,E), float32 of length 1 each, on the CPU. Every row once.
    """
    import torch

    causal = _Causal.of(model)
    lengths = torch.full((len(tokens),), tokens.shape[1]) if causal is None else causal.lengths(tokens)
    for rows, length in _batches(lengths):
        filled = torch.cat([rows, rows[:1].expand(PROMPTS_AT_ONCE - len(rows))])
        yield rows, _encoded(model, tokens[filled, :length], causal)[: len(rows)].float().cpu()


def _batches(lengths: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Rows of one length, at most `PROMPTS_AT_ONCE` at a time, and the length."""
    import torch

    ordered, order = lengths.sort(stable=True)
    found, counts = torch.unique_consecutive(ordered, return_counts=True)
    for same, length in zip(torch.split(order, counts.tolist()), found.tolist(), strict=True):
        for rows in torch.split(same, PROMPTS_AT_ONCE):
            yield rows, length


def _encoded(model: Any, tokens: Tensor, causal: _Causal | None) -> Tensor:
    tokens = tokens.to(next(model.parameters()).device)
    features: Tensor
    if causal is None:
        features = model.encode_text(tokens, normalize=True)
    else:
        from torch.func import functional_call

        # The model itself stays as it is: the cut tensors stand in for this call alone.
        cut = causal.shortened(tokens.shape[1])
        found = functional_call(model, cut, kwargs={"text": tokens}, tie_weights=False)
        features = found["text_features"] if isinstance(found, dict) else found[1]
    return features
