"""What `train` can be told.

Defaults are the ones that the experiments of `docs/experiments.md` settled on; the paper's own numbers, those of the
recipe `ml-decoder`, stand behind them in the help texts where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from zsmld.config import setting
from zsmld.settings.common import DEFAULT_EMBEDDINGS, DataSettings, PrecisionSettings
from zsmld.settings.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DataSettings, PrecisionSettings):
    """`zsmld train`."""

    seen: Path | None = setting(None, "Label file: the words to train on.", section="labels")
    embeddings: Path = setting(DEFAULT_EMBEDDINGS, "File that embed-labels wrote.", section="labels")
    closed_set: bool = setting(
        False, "Train a head for the seen labels alone (without --seen: all labels of the training images), which "
        "needs no vectors and knows no other words.", section="labels",
    )  # fmt: skip
    single_label: bool = setting(
        False, "With --closed-set: every image has exactly one of the labels.", section="labels"
    )

    recipe: str = setting(
        "default", "Settings by name: ours, or those of the ML-Decoder paper. What is given beside it goes before it.",
        section="train", choices=tuple(RECIPES),
    )  # fmt: skip
    method: str = setting(
        "two-path", "What is trained: a decoder beside a linear path, with a gate between them that is measured on "
        "held-out seen labels; one of the two alone; or the linear method of a paper, which takes seconds.",
        section="train", choices=("two-path", "decoder", "linear", "eszsl", "conse", "fast0tag"),
    )  # fmt: skip
    rehearsals: int = setting(
        2, "Trainings of the method two-path without a fifth of the seen labels, in turn, that choose the last epoch "
        "and the gate.", section="train", minimum=1,
    )  # fmt: skip

    backbone: str = setting(
        "timm:mobilenetv3_large_100", "Image tower: timm:NAME or open_clip:NAME@TAG.", section="backbone"
    )
    backbone_weights: str | None = setting(
        None, "A safetensors file, or random: from scratch. Default: the published weights.", section="backbone",
        may_be_path=True,
    )  # fmt: skip
    backbone_arg: tuple[str, ...] = setting(
        (), "Extra model argument key=value, such as pad_type=same. Repeatable.", section="backbone"
    )
    mean: tuple[float, ...] = setting((), "Mean of the pixels instead of the backbone's own.", section="backbone")
    std: tuple[float, ...] = setting((), "Deviation of the pixels instead of the backbone's own.", section="backbone")
    image_size: int | None = setting(
        None, "Side of the square input in pixels instead of the backbone's own.", section="backbone", minimum=16
    )

    width: int = setting(256, "Decoder width D (paper: 768).", section="decoder", minimum=1)
    heads: int = setting(8, "Attention heads H.", section="decoder", minimum=1)
    feed_forward: int = setting(256, "Feed-forward width F (paper: 2048).", section="decoder", minimum=1)
    dropout: float = setting(0.1, "Dropout.", section="decoder", minimum=0, below=1)
    groups: int | None = setting(
        None, "With --closed-set: queries K, each of which decodes its share of the labels; never more than there are "
        "labels. Default: 100.", section="decoder", minimum=1,
    )  # fmt: skip
    query_dropout: str = setting(
        "batch", "One dropout mask on the queries a batch, which is faster, or one an image (paper).",
        section="decoder", choices=("batch", "image"),
    )  # fmt: skip
    label_vectors: str = setting(
        "centred", "Centre label vectors on the seen labels and scale them to one length, or leave them raw (paper).",
        section="decoder", choices=("centred", "raw"),
    )  # fmt: skip

    run: Path | None = setting(None, "Folder of this run. Default: the next free number in --runs.", section="train")
    runs: Path = setting(Path("runs"), "Folder that new runs are put in.", section="train")
    epochs: int = setting(4, "Passes over the training images (paper: 40).", section="train", minimum=1)
    batch_size: int = setting(64, "Images a step (paper: 56).", section="train", minimum=1)
    optimizer: str = setting("adamw", "Optimiser (paper: adam).", section="train", choices=("adamw", "adam"))
    learning_rate: float = setting(1e-3, "Peak of the one-cycle schedule (paper: 1e-4).", section="train", minimum=0)
    backbone_learning_rate: float | None = setting(
        None, "The same for an unfrozen backbone. Default: --learning-rate.", section="train", minimum=0
    )
    weight_decay: float = setting(1e-2, "Weight decay, not on biases and norms.", section="train", minimum=0)
    warmup: float = setting(0.2, "Part of the steps in which the rate rises.", section="train", minimum=0, below=1)
    ema_decay: float = setting(
        0.999, "Decay of the averaged weights, with a warm-up (paper: 0.9997).", section="train", minimum=0, below=1
    )
    clip_norm: float = setting(1.0, "Largest norm of the gradient; 0 switches off.", section="train", minimum=0)
    gamma_negative: float = setting(4.0, "Asymmetric loss: focus on hard negatives.", section="train", minimum=0)
    gamma_positive: float = setting(0.0, "Asymmetric loss: focus on hard positives.", section="train", minimum=0)
    margin: float = setting(
        0.05, "Asymmetric loss: negatives below this probability are free.", section="train", minimum=0, below=1
    )
    label_sample: int = setting(
        0, "Train each step on the labels of its images and on so many of the others, drawn anew; 0 takes all.",
        section="train", minimum=0,
    )  # fmt: skip
    validation_fraction: float = setting(
        0.1, "Part of the training images that --method decoder holds out to choose the epoch (whole groups where "
        "records have one).", section="train", minimum=0, below=1,
    )  # fmt: skip
    patience: int = setting(
        10, "Stop after so many epochs without a better validation figure; 0 never does.", section="train", minimum=0
    )
    calibrate: bool = setting(
        False, "Measure on a training without a fifth of the seen labels how much higher seen labels are scored than "
        "unseen ones; eval then gives figures with that taken off, too. With --method decoder probabilities of words "
        "never trained on are measured so, too.", section="train",
    )  # fmt: skip
    train_backbone: bool = setting(
        False, "Train the backbone too, instead of caching its tokens.", section="train", negated="--freeze-backbone"
    )
    augmentation: str = setting(
        "flip", "What is done to photographs when the backbone is trained: mirror half of them, or Cutout and "
        "RandAugment (paper: ml-decoder).", section="train", choices=("none", "flip", "ml-decoder"),
    )  # fmt: skip
    checkpointing: bool = setting(
        False, "Compute the trained backbone's activations twice, to need less memory.", section="train"
    )
    accumulate: int = setting(
        1, "Parts that a batch is computed in, to need less memory; its gradients are added up.", section="train",
        minimum=1,
    )  # fmt: skip
    control: str | None = setting(
        None, "Train a control whose words have each other's vectors: unseen mAP must fall to chance.",
        section="train", choices=("shuffled-embeddings",),
    )  # fmt: skip
    seed: int = setting(0, "Seed of everything random.", section="train", minimum=0, below=2**63)
    resume: bool = setting(False, "Go on with a run that was cut.", section="train")
    dry_run: bool = setting(False, "Check everything, say what would be done, write nothing.", section="train")
    force: bool = setting(False, "Start over in a run folder that exists.", section="train")

    @classmethod
    def presets(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the recipe sets, by the name of the setting."""
        return RECIPES[given.get("recipe", "default")].values

    def told_recipe(self) -> str:
        """Its name, and every number that recipes are about; those that were given beside it are marked."""
        default = {field.name: field.default for field in fields(self)} | dict(RECIPES[self.recipe].values)
        told = []
        for name in RECIPES["ml-decoder"].values:
            value = getattr(self, name)
            told.append(f"{name.replace('_', '-')} {value}" + ("" if value == default[name] else " (given)"))
        return f"recipe {self.recipe}: {', '.join(told)}"

    @property
    def has_decoder(self) -> bool:
        """Whether the method trains a decoder."""
        return self.method in ("two-path", "decoder")
