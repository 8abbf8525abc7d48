"""What every command can be told: one frozen dataclass a command, declared once for flag, variable and file.

Defaults of the training settings are the ones that the experiments of `docs/experiments.md` settled on; the paper's
own numbers stand behind them in the help texts where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zsmld.config import setting

DEFAULT_EMBEDDINGS = Path("embeddings.safetensors")
DEFAULT_MODEL = Path("runs/latest")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which photographs, and what is known of them."""

    annotations: Path | None = setting(
        None, "The data set: a JSONL file with one {image, labels, split} a line, or any other that docs/datasets.md "
        "lists, as it was downloaded.", section="data",
    )  # fmt: skip
    images: Path | None = setting(
        None, "Folder that image paths are relative to. Default: where the data set has them.", section="data"
    )
    split_file: Path | None = setting(
        None, "File that says which image is of which split, one a line with a tab or comma between, instead of the "
        "data set's own. Images that it does not name are left out.", section="data",
    )  # fmt: skip
    allow_missing: bool = setting(
        False, "Leave images out that are not on the disk, and count them, instead of stopping.", section="data"
    )


@dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """Where the arithmetic is done."""

    device: str = setting(
        "auto", "Where to compute; auto takes a GPU where there is one.", section="device",
        choices=("auto", "cpu", "cuda", "mps"),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PrecisionSettings(DeviceSettings):
    """And with how many digits."""

    precision: str = setting(
        "float32", "What to compute in. Half precision is for GPUs, and CPUs that multiply in it; figures change a "
        "little.", section="device", choices=("float32", "bfloat16", "float16"),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SourceSettings(DeviceSettings):
    """Where vectors of words come from, and how words are turned into them."""

    source: tuple[str, ...] = setting(
        (), "Where the vectors come from: FILE, gensim:NAME or open_clip:MODEL@WEIGHTS. Repeat it to set sources side "
        "by side. See docs/labels.md.", section="labels", may_be_path=True, complete="source",
    )  # fmt: skip
    compose: str = setting(
        "mean", "How a phrase that the source lacks is composed of its words; sif gives frequent words less weight.",
        section="labels", choices=("mean", "sif"),
    )  # fmt: skip
    forms: bool = setting(
        False, "Take another form (singular, plural, with or without -ing) for a word that the source lacks.",
        section="labels",
    )  # fmt: skip
    templates: str | None = setting(
        None, "Prompt templates for CLIP text: a file with one a line, each with one {}, or a set: photo (default), "
        "plain, clip, scene, imagenet-7, imagenet-80.", section="labels", may_be_path=True, complete="templates",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EmbedSettings(SourceSettings):
    """`zsmld embed-labels`."""

    missing: str = setting(
        "error", "What to do with words that the source lacks.", section="labels", choices=("error", "skip")
    )
    embeddings: Path = setting(DEFAULT_EMBEDDINGS, "File to write.", section="labels", flag="--output")
    force: bool = setting(False, "Replace the file if it exists.", section="labels")


@dataclass(frozen=True, kw_only=True)
class CheckSettings(SourceSettings):
    """`zsmld check`."""

    seen: Path | None = setting(None, "Label file: the words to train on.", section="labels")
    unseen: Path | None = setting(None, "Label file: the words never trained on.", section="labels")
    embeddings: Path = setting(DEFAULT_EMBEDDINGS, "File that embed-labels wrote.", section="labels")
    json: bool = setting(False, "Print one JSON object, with every finding.", section="check")
    plot: Path | None = setting(None, "Draw the vocabulary in two dimensions, as an SVG picture.", section="check")
    split_into: Path | None = setting(
        None, "Folder for seen.txt without the unseen labels, unseen.txt, and labels.txt with both.", section="check"
    )
    force: bool = setting(False, "Replace files that exist.", section="check")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DataSettings, DeviceSettings):
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
        0.1, "Part of the training images held out to choose the epoch (whole groups where records have one).",
        section="train", minimum=0, below=1,
    )  # fmt: skip
    patience: int = setting(
        10, "Stop after so many epochs without a better validation figure; 0 never does.", section="train", minimum=0
    )
    calibrate: bool = setting(
        False, "Train a second time without a fifth of the seen labels, to measure how much higher seen labels are "
        "scored than unseen ones; eval then gives figures with that taken off, too.", section="train",
    )  # fmt: skip
    train_backbone: bool = setting(False, "Train the backbone too, instead of caching its tokens.", section="train")
    control: str | None = setting(
        None, "Train a control whose words have each other's vectors: unseen mAP must fall to chance.",
        section="train", choices=("shuffled-embeddings",),
    )  # fmt: skip
    seed: int = setting(0, "Seed of everything random.", section="train", minimum=0, below=2**63)
    resume: bool = setting(False, "Go on with a run that was cut.", section="train")
    dry_run: bool = setting(False, "Check everything, say what would be done, write nothing.", section="train")
    force: bool = setting(False, "Start over in a run folder that exists.", section="train")

    @property
    def has_decoder(self) -> bool:
        """Whether the method trains a decoder."""
        return self.method in ("two-path", "decoder")


@dataclass(frozen=True, kw_only=True)
class MeasureSettings(DataSettings, PrecisionSettings):
    """What is measured, and by which rules."""

    unseen: Path | None = setting(None, "Label file: the words never trained on.", section="labels")
    split: str = setting("test", "Which records to evaluate.", section="eval", choices=("train", "val", "test"))
    protocol: str = setting(
        "strict", "The rules of the figures; see docs/protocols.md.", section="eval",
        choices=("strict", "filtered", "lesa", "biam", "mkt", "mldecoder", "open-images"),
    )  # fmt: skip
    min_positives: int = setting(
        1, "Labels with fewer positive images are left out of the mean, and counted.", section="eval", minimum=1
    )
    resamples: int = setting(
        1000, "Bootstrap resamples of the test images, for intervals; 0 gives none.", section="eval", minimum=0,
    )  # fmt: skip
    batch_size: int = setting(32, "Images at a time.", section="eval", minimum=1, below=65_536)


@dataclass(frozen=True, kw_only=True)
class EvalSettings(MeasureSettings):
    """`zsmld eval`."""

    model: Path = setting(DEFAULT_MODEL, "Run or model folder.", section="eval")
    scores: Path | None = setting(
        None, "Evaluate these scores of any model instead: a table, images × labels (npy, npz, safetensors, CSV, "
        "Parquet). Needs --targets, --labels and --seen.", section="eval",
    )  # fmt: skip
    targets: Path | None = setting(None, "With --scores: the truth, as such a table.", section="eval")
    labels: Path | None = setting(
        None, "With --scores: label file, one for each column, in their order.", section="eval"
    )
    seen: Path | None = setting(None, "With --scores: label file, those trained on.", section="labels")
    gzsl: bool = setting(False, "Score seen and unseen labels together, too.", section="eval")
    seen_offset: float | None = setting(
        None, "What to take off the scores of seen labels, chosen on validation labels, for a second GZSL figure. "
        "Default: what zsmld train --calibrate found.", section="eval",
    )  # fmt: skip
    report: Path | None = setting(
        None, "Folder for report.json, report.md and report.html. Default: the model folder.", section="eval"
    )
    json: bool = setting(False, "Print one JSON object instead of a table.", section="eval")


@dataclass(frozen=True, kw_only=True)
class CompareSettings(MeasureSettings):
    """`zsmld compare`."""

    baselines: tuple[str, ...] = setting(
        (), "Simple methods on the tokens and labels of the first run: chance, nearest, conse, eszsl, mixture, "
        "fast0tag, clip, or all. Repeatable.", section="compare",
    )  # fmt: skip
    clip: str | None = setting(
        None, "The CLIP model of the baseline clip: open_clip:MODEL@WEIGHTS.", section="compare", may_be_path=True
    )
    output: Path | None = setting(None, "Folder for compare.json and compare.md.", section="compare")
    json: bool = setting(False, "Print one JSON object instead of a table.", section="compare")


@dataclass(frozen=True, kw_only=True)
class WordsSettings(DeviceSettings):
    """A model, and the words that it is to score."""

    labels: Path | None = setting(
        None, "Label file: the words to score. Any words; of a closed-set model, some of its classes.",
        section="predict",
    )  # fmt: skip
    model: Path = setting(DEFAULT_MODEL, "Run or model folder.", section="predict")
    source: tuple[str, ...] = setting(
        (), "Where the vectors of new words are, if not where the model's own came from.", section="predict",
        may_be_path=True, complete="source",
    )  # fmt: skip
    missing: str = setting(
        "error", "What to do with words that have no vector.", section="predict", choices=("error", "skip")
    )


@dataclass(frozen=True, kw_only=True)
class ShortListSettings(WordsSettings):
    """`zsmld short-list`."""


@dataclass(frozen=True, kw_only=True)
class PredictSettings(WordsSettings, PrecisionSettings):
    """`zsmld predict`."""

    format: str = setting("table", "Form of the output.", section="predict", choices=("table", "jsonl", "csv"))
    top_k: int = setting(5, "Labels an image; 0 gives all.", section="predict", minimum=0)
    short_list: str = setting(
        "auto", "Decode only the labels that a probe picks, where the model has a short list (zsmld short-list): auto "
        "does from 10,000 labels on.", section="predict", choices=("auto", "on", "off"),
    )  # fmt: skip
    batch_size: int = setting(16, "Images at a time.", section="predict", minimum=1, below=65_536)
    output: Path | None = setting(None, "File to write instead of standard output.", section="predict")
    force: bool = setting(False, "Replace the output file if it exists.", section="predict")


@dataclass(frozen=True, kw_only=True)
class DataCheckSettings:
    """`zsmld data check`."""

    images: Path | None = setting(
        None, "Folder that image paths are relative to. Default: where the data set has them.", section="data"
    )
    split_file: Path | None = setting(
        None, "File that says which image is of which split, one a line with a tab or comma between, instead of the "
        "data set's own. Images that it does not name are left out.", section="data",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DataConvertSettings(DataCheckSettings):
    """`zsmld data convert`."""

    force: bool = setting(False, "Replace files that exist.", section="data")


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """`zsmld sample`."""

    seed: int = setting(0, "Seed of the drawings, captions and vectors.", section="sample", minimum=0, below=2**32)


ALL_SETTINGS = (
    DataCheckSettings, DataConvertSettings, EmbedSettings, CheckSettings, TrainSettings, EvalSettings, CompareSettings,
    PredictSettings, ShortListSettings, SampleSettings,
)  # fmt: skip
