"""Tiny CLIP models with random weights, saved as open_clip keeps models in a folder: real towers of every kind."""

import json

import safetensors.torch
import torch

TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {"layers": 2, "width": 64, "head_width": 32, "patch_size": 16, "image_size": 48}
SIGLIP_TEXT = {**TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
CONFIGS = {
    "vit": {"embed_dim": 24, "vision_cfg": VIT, "text_cfg": TEXT},
    "resnet": {
        "embed_dim": 24,
        "vision_cfg": {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64, "head_width": 32},
        "text_cfg": TEXT,
    },
    # A sigmoid's scale and bias, and a tower of timm with attention pooling, as SigLIP has them.
    "siglip": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": SIGLIP_TEXT,
    },
    "coca": {
        "embed_dim": 24,
        "vision_cfg": {**VIT, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": TEXT,
        "custom_text": True,
    },
}
SCALE = 100.0  # what trained models have


def build(config, **changes):
    """The model of a configuration, in eval mode; every weight is random, those that begin at zero included."""
    import open_clip

    config = {**config, **changes}
    kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CLIP
    if config.pop("custom_text", False) and kind is open_clip.CLIP:
        kind = open_clip.CustomTextCLIP
    torch.manual_seed(0)
    model = kind(**config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim and not parameter.any():
                parameter.normal_(std=0.1)
            if name == "logit_scale":
                parameter.fill_(SCALE).log_()
    return model


def save(folder, config):
    """Write the model of a configuration, and give its source."""
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    tensors = {name: tensor.contiguous() for name, tensor in build(config).state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "open_clip_model.safetensors")
    return f"open_clip:local-dir:{folder}"
