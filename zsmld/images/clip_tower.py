"""The image tower of a CLIP model as a backbone whose tokens lie in the space of its text tower.

The first token is the embedding of the whole image, the others are those of its patches: each goes through what the
pooled one goes through last (Zhou et al., "Extract Free Dense Labels from CLIP", ECCV 2022). All have length 1, so that
a product with the embedding of a text is a cosine.

Towers that end in another way than in a projection of one pooled token (those of timm, SigLIP's among them, and CoCa's)
have no such patches: there the whole image is the only token.

Shapes: B images, T patches, E width of the common space.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsmld.images import towers
from zsmld.images.backbones import Backbone, described
from zsmld.images.preprocessing import Preprocessing
from zsmld.labels.clip_models import Clip


class ClipBackbone(Backbone):
    """Images (B,3,H,W) → (B,1+T,E) float32: the whole image, then its patches, each of length 1.

    Attributes:
        tokens: 1 + T.
        channels: E.
    """

    def __init__(self, tower: nn.Module, config: dict[str, Any]) -> None:
        # The same tower gives other tokens as a plain backbone: what was computed from those is not taken for these.
        super().__init__(tower, {**config, "projected": True})

    @classmethod
    def of(cls, clip: Clip) -> ClipBackbone:
        """The image tower of a model that has been loaded, with the photographs squeezed as every backbone has them."""
        tower = towers.tower_of(clip)
        own = tower.own
        preprocessing = Preprocessing(own.image_size, own.mean, own.std, own.interpolation)
        return cls(tower.module, described(clip.source.spec, {}, preprocessing, tower.architecture)).eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B,3,H,W) → (B,1+T,E)."""
        whole, patches = embedded(self.tower, images)
        tokens = whole.unsqueeze(1) if patches is None else torch.cat([whole.unsqueeze(1), patches], dim=1)
        return F.normalize(tokens.float(), dim=-1)


def embedded(visual: Any, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Whole images (B,E) and their patches (B,T,E), of any length; None where the tower has no projection for these.

    Args:
        visual: image tower of open_clip.
        images: (B,3,H,W).
    """
    pool = getattr(visual, "attnpool", None)
    projection = getattr(visual, "proj", None)
    if pool is None and (not isinstance(projection, Tensor) or getattr(visual, "attn_pool", None) is not None):
        whole = visual(images)
        # CoCa's gives its patches along, which are those of a captioner.
        return (whole[0] if isinstance(whole, tuple) else whole), None
    both = visual.forward_intermediates(images, indices=1, normalize_intermediates=True, output_fmt="NCHW")
    patches = both["image_intermediates"][0].flatten(2).transpose(1, 2)
    # Attention that each position pays to itself alone leaves its value.
    patches = patches @ projection if pool is None else pool.c_proj(pool.v_proj(patches))
    return both["image_features"], patches
