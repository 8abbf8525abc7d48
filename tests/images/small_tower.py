"""A real tower that takes milliseconds, and what it was given to compute."""

import torch

from zsmld.images.backbones import BackboneSpec, create_backbone


def small_backbone(seed=0):
    torch.manual_seed(seed)
    return create_backbone(BackboneSpec("timm:test_resnet", "random", image_size=64))


def count_computed(monkeypatch, backbone):
    """How many images the backbone has been given, as a list of batch sizes that grows."""
    counts = []
    encode = type(backbone).encode

    def counted(self, images, batch_size):
        counts.append(len(images))
        return encode(self, images, batch_size)

    monkeypatch.setattr(type(backbone), "encode", counted)
    return counts
