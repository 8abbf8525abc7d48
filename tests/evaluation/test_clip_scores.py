"""CLIP without training against open_clip used by hand, for towers that see patches and for one that convolves."""

import json

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from PIL import Image

from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.evaluation.clip_scores import GLOBAL, PATCHES, clip_scores
from zsmld.labels.prompt_templates import read_templates

VISION = {
    "transformer": {"layers": 2, "width": 64, "head_width": 32, "patch_size": 16, "image_size": 32},
    "resnet": {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64, "head_width": 32},
}
LABELS = ("dog", "polar bear", "sea")


@pytest.fixture(params=VISION)
def clip(request, tmp_path):
    """A folder with a small model, its dataset of five photographs, and the loaded model."""
    torch.manual_seed(0)
    text = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    config = {"model_cfg": {"embed_dim": 24, "vision_cfg": VISION[request.param], "text_cfg": text}}
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.CLIP(24, VISION[request.param], text).eval()
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    draw = np.random.default_rng(0)
    for at in range(5):
        Image.fromarray(draw.integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(tmp_path / f"{at}.png")
    dataset = Dataset.of([ImageRecord(f"{at}.png", (), "test", None) for at in range(5)], tmp_path / "x", tmp_path)
    return folder, dataset, model


def test_scores_are_cosines_of_whole_images_and_of_their_best_patches(clip):
    folder, dataset, model = clip
    spec = f"open_clip:local-dir:{folder}"
    found = clip_scores(spec, LABELS, dataset, device=torch.device("cpu"), batch_size=2)
    from zsmld.images.backbones import BackboneSpec, create_backbone

    preprocess = create_backbone(BackboneSpec(spec)).preprocess
    images = torch.stack([preprocess.open(path) for path in dataset.image_paths()])
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.inference_mode():
        prompts = [tokenizer([template.format(label) for template in read_templates()]) for label in LABELS]
        text = torch.stack([model.encode_text(each, normalize=True).mean(dim=0) for each in prompts])
        text = torch.nn.functional.normalize(text, dim=-1)
        whole = model.encode_image(images, normalize=True) @ text.T
        visual = model.visual
        if hasattr(visual, "attnpool"):
            grid = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
            patches = visual.attnpool.c_proj(visual.attnpool.v_proj(grid.flatten(2).transpose(1, 2)))
        else:
            patches = visual.ln_post(visual.transformer(visual._embeds(images)))[:, 1:] @ visual.proj
        cosines = torch.nn.functional.normalize(patches, dim=-1) @ text.T
    assert cosines.shape[1] == 4
    assert found[GLOBAL] == pytest.approx(whole.numpy(), abs=1e-5)
    assert found[PATCHES] == pytest.approx(cosines.amax(dim=1).numpy(), abs=1e-5)
