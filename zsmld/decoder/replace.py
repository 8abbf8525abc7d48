"""Put ML-Decoder in the place of the pooling + linear head of a timm model.

The paper's "drop-in replacement for a GAP-based classification head": what the tower does before pooling stays, weights
and all; pooling and classifier go.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zsmld.decoder.head import MLDecoder
from zsmld.errors import UsageError


class DecoderClassifier(nn.Module):
    """A tower without its classifier, and a closed-set decoder on what comes before pooling.

    Attributes:
        tower: the timm model.
        head: the decoder.
    """

    def __init__(self, tower: nn.Module, head: MLDecoder) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, images: Tensor) -> Tensor:
        """(B,3,H,W) → logits (B,N)."""
        logits: Tensor = self.head(tokens_of(self.tower, images))
        return logits


def replace_head(model: nn.Module, num_classes: int, groups: int | None = None, **sizes: Any) -> DecoderClassifier:
    """Replace pooling and classifier of a timm model by an ML-Decoder with fixed queries.

        model = zsmld.replace_head(timm.create_model("resnet50", pretrained=True), num_classes=80)
        logits = model(images)  # (B,80)

    Feature maps (B,C,h,w) of convolutional towers, (B,h,w,C) of Swin and its kind, and tokens (B,T,C) of Vision
    Transformers will do; class and register tokens are left out. It is trained like any other model. Layers that a
    tower has behind its pooling (MobileNetV3's `conv_head`, ConvNeXt's `head.norm`) have no part any more; their
    parameters are frozen.

    Args:
        model: a timm model. It is taken over, not copied: its classifier is removed.
        num_classes: N.
        groups: K queries; 100 by default and never more than N.
        sizes: width D, heads H, feed_forward F, dropout of `MLDecoder`.

    Raises:
        UsageError: the model has no classifier or no one feature map, or sizes that do not fit.
    """
    name = type(model).__name__
    for method in ("forward_features", "reset_classifier"):
        if not callable(getattr(model, method, None)):
            raise UsageError(f"{name} has no {method}: it is no timm model whose classifier could be replaced")
    try:
        example = tokens_of(model.eval(), _blank(model))
    except (RuntimeError, AssertionError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{name} gives no feature map: {reason}") from error
    head = MLDecoder(example.shape[2], num_classes=num_classes, groups=groups, **sizes)
    model.reset_classifier(0, "")  # type: ignore[operator]
    _freeze_what_is_behind(model, example)
    return DecoderClassifier(model, head.to(example.device, example.dtype)).train()


def tokens_of(tower: nn.Module, images: Tensor) -> Tensor:
    """(B,3,H,W) → (B,T,C): what a timm model has before its pooling, whatever the layout.

    Raises:
        UsageError: a model with several feature maps.
    """
    features: Any = tower.forward_features(images)  # type: ignore[operator]
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        raise UsageError(f"{type(tower).__name__} gives no one feature map, and so no tokens")
    if features.ndim == 3:
        return features[:, int(getattr(tower, "num_prefix_tokens", None) or 0) :]
    if str(getattr(tower, "output_fmt", "NCHW")) == "NHWC":
        return features.flatten(1, 2)
    return features.flatten(2).transpose(1, 2)


def _blank(model: nn.Module) -> Tensor:
    """(1,3,H,W) of the size that the model was made for."""
    from timm.data import resolve_model_data_config

    parameter = next(model.parameters())
    channels, *published = resolve_model_data_config(model)["input_size"]
    # A transformer that was built for another size than the published one takes that alone.
    side = getattr(getattr(model, "patch_embed", None), "img_size", None) or published
    return torch.zeros(1, channels, *side, device=parameter.device, dtype=parameter.dtype)


def _freeze_what_is_behind(model: nn.Module, tokens: Tensor) -> None:
    """Freeze parameters that have no part in the tokens: optimisers and data parallelism stumble over such."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if trained:
        gradients = torch.autograd.grad(tokens.sum(), trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
