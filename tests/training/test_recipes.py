"""Recipes: the published numbers, what goes before them, and that they are told and stored."""

import json

import numpy as np
import pytest
import timm
from PIL import Image

import zsmld
from zsmld.config import Workspace, build, resolve
from zsmld.errors import UsageError
from zsmld.settings import TrainSettings


def made(tmp_path, flags=None, toml="", environment=None):
    (tmp_path / "zsmld.toml").write_text(toml)
    return resolve(TrainSettings, flags or {}, Workspace.find(tmp_path), environment or {})


def test_the_published_recipe_has_the_published_numbers(tmp_path):
    """Those of the paper's section 4 and of its published code, written down here once more."""
    recipe = made(tmp_path, {"recipe": "ml-decoder"})
    assert (recipe.width, recipe.heads, recipe.feed_forward, recipe.dropout) == (768, 8, 2048, 0.1)
    assert (recipe.query_dropout, recipe.label_vectors, recipe.method) == ("image", "raw", "decoder")
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay, recipe.warmup) == ("adam", 1e-4, 1e-2, 0.2)
    assert (recipe.epochs, recipe.batch_size, recipe.ema_decay, recipe.clip_norm) == (40, 56, 0.9997, 0)
    assert (recipe.gamma_negative, recipe.gamma_positive, recipe.margin, recipe.label_sample) == (4, 0, 0.05, 0)
    assert (recipe.train_backbone, recipe.backbone, recipe.image_size) == (True, "timm:tresnet_l", 224)
    assert recipe.augmentation == "ml-decoder"
    pixels = timm.get_pretrained_cfg("tresnet_l")
    assert (pixels.mean, pixels.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # pixels in [0,1], as published


def test_what_is_given_anywhere_goes_before_the_recipe(tmp_path):
    def epochs(flags=None, toml="", environment=None):
        return made(tmp_path, flags, toml, environment).epochs

    assert epochs() == 4
    assert epochs({"recipe": "ml-decoder"}) == 40
    assert epochs(environment={"ZSMLD_RECIPE": "ml-decoder"}) == 40
    assert epochs(toml='[train]\nrecipe = "ml-decoder"\n') == 40
    assert epochs({"recipe": "ml-decoder"}, "[train]\nepochs = 3\n") == 3
    assert epochs({"recipe": "ml-decoder"}, "[train]\nepochs = 3\n", {"ZSMLD_EPOCHS": "5"}) == 5
    assert epochs({"recipe": "ml-decoder", "epochs": 7}, "", {"ZSMLD_EPOCHS": "5"}) == 7
    assert build(TrainSettings, {"recipe": "ml-decoder", "epochs": 9}).epochs == 9
    assert build(TrainSettings, {"recipe": "ml-decoder", "train_backbone": False}).train_backbone is False


def test_an_unknown_recipe_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="recipe: 'paper' is not one of default, ml-decoder"):
        build(TrainSettings, {"recipe": "paper"})


def test_it_is_told_with_every_number_and_what_was_given_is_marked():
    told = build(TrainSettings, {"recipe": "ml-decoder", "epochs": 9}).told_recipe()
    assert told.startswith("recipe ml-decoder: method decoder, ")
    assert "epochs 9 (given)" in told
    assert "learning-rate 0.0001," in told
    assert told.count("(given)") == 1
    assert "(given)" not in build(TrainSettings, {}).told_recipe()


def test_a_run_of_the_published_recipe_tells_and_stores_it(tmp_path, monkeypatch, capsys):
    """Small in all that costs, the backbone trained along with Cutout and RandAugment."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    lines = []
    for number in range(12):
        Image.fromarray(draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "labels": ["ab"[number % 2]], "split": "train"}))
    (tmp_path / "annotations.jsonl").write_text("\n".join(lines))
    (tmp_path / "seen.txt").write_text("a\nb\n")
    (tmp_path / "vectors.txt").write_text("a 1 0 2\nb 0 1 2\n")
    small = {
        "backbone": "timm:test_convnext", "backbone_weights": "random", "image_size": 32, "width": 16, "heads": 2,
        "feed_forward": 16, "epochs": 1, "batch_size": 4,
    }  # fmt: skip
    run = zsmld.train(
        annotations="annotations.jsonl", seen="seen.txt", recipe="ml-decoder", device="cpu",
        embeddings=zsmld.embed_labels(["a", "b"], source="vectors.txt"), **small,
    )  # fmt: skip
    assert "recipe ml-decoder: " in capsys.readouterr().err
    stored = json.loads((run / "run.json").read_text())["settings"]
    assert (stored["recipe"], stored["augmentation"], stored["learning_rate"]) == ("ml-decoder", "ml-decoder", 1e-4)
    assert (run / "model.safetensors").exists()
