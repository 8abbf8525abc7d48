"""The model card: what a model folder's `README.md` says, out of what the folder holds.

A card states what the model is, what it was trained on and how, and what was measured; of what was not measured it says
so. It begins with the lines of YAML that the Hugging Face hub reads, and ends with a digest of itself: one whose
text has another was edited by a person, and is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zsmld import files
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.markdown import escaped

CONTROL = "CONTROL"
_MARK = re.compile(r"\n<!-- written by zsmld: (sha256:[0-9a-f]{64}) -->\n\Z")
_SETS = {"closed_set": "closed set", "zsl": "ZSL (unseen)", "gzsl": "GZSL (seen + unseen)", "seen": "seen only"}
_OF_THE_INDEX = {"closed_set": "", "zsl": "ZSL ", "gzsl": "GZSL "}
# Settings that say where things were, or what became of the files, not how it was trained.
_NO_RECIPE = frozenset({
    "annotations", "images", "split_file", "embeddings", "seen", "device", "calibrate", "allow_missing", "seed",
})  # fmt: skip
_LICENCE = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)


def is_licence(text: str) -> bool:
    """Whether `text` has the form of the hub's names of licences, such as `apache-2.0`."""
    return _LICENCE.fullmatch(text) is not None


def is_own(text: str) -> bool:
    """Whether `text` is a card as `card` wrote it: nobody has edited it since."""
    found = _MARK.search(text)
    return found is not None and found[1] == files.digest_bytes(text[: found.start()].encode())


def card(
    described: Mapping[str, Any],
    labels: LabelEmbeddings | None,
    *,
    record: Mapping[str, Any],
    report: Mapping[str, Any],
    name: str | None = None,
    licence: str | None = None,
) -> str:
    """The card of a model.

    Args:
        described: what its `config.json` holds.
        labels: its label embeddings; None of a closed-set model.
        record: what its `run.json` holds; empty without one.
        report: what its `report.json` holds; empty where it was not measured.
        name: ORG/NAME on the hub; None for a folder.
        licence: its name on the hub; None says nothing of it.
    """
    parts = [
        _yaml(described, labels, report, name, licence),
        f"# {name or 'A zsmld model'}\n",
        *_control(described, labels),
        f"{_what(described, labels)}\n",
        _table(_facts(described, labels, record, licence)),
        *_labels(described["seen"], labels),
        "## Figures\n",
        *_figures(report),
        *_recipe(record),
        *_use(labels, name),
        *_limits(labels),
    ]
    text = "\n".join(parts)
    return f"{text}\n<!-- written by zsmld: {files.digest_bytes(text.encode())} -->\n"


def _yaml(
    described: Mapping[str, Any],
    labels: LabelEmbeddings | None,
    report: Mapping[str, Any],
    name: str | None,
    licence: str | None,
) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    task = "image-classification" if labels is None else "zero-shot-image-classification"
    control = _is_control(described, labels)
    data, split = (str(report.get(key) or "not named") for key in ("data", "split"))
    # A control is not to be ranked among models.
    results = [] if control else [
        EvalResult(
            task_type=task, dataset_type="other", dataset_name=Path(data).name, dataset_split=split,
            metric_type=metric, metric_name=f"{title}{told}", metric_value=round(value, 4),
            metric_args={"protocol": str(_mapping(report, "protocol").get("name"))},
        )
        for part, title in _OF_THE_INDEX.items()
        for metric, told, value in _metrics(report, part)
    ]  # fmt: skip
    data_of_card = ModelCardData(
        license=licence, library_name="zsmld", pipeline_tag=task,
        tags=["closed-set" if labels is None else "zero-shot", "multi-label", "ml-decoder"] + ["control"] * control,
        model_name=(name or "zsmld model").rpartition("/")[2] if results else None, eval_results=results or None,
    )  # fmt: skip
    return f"---\n{data_of_card.to_yaml()}\n---"


def _metrics(report: Mapping[str, Any], part: str) -> Iterator[tuple[str, str, float]]:
    """Kind, name and value of each figure of a set."""
    figures = _mapping(report, part)
    for key in ("map", "accuracy@1", *(f"f1@{k}" for k in _ks(report))):
        value = figures.get(key)
        if isinstance(value, (int, float)):
            yield ("mAP", "mAP", value) if key == "map" else (key.partition("@")[0], key.replace("f1", "F1"), value)


def _is_control(described: Mapping[str, Any], labels: LabelEmbeddings | None) -> bool:
    return CONTROL in described.get("about", {}) or (labels is not None and labels.provenance.shuffled is not None)


def _control(described: Mapping[str, Any], labels: LabelEmbeddings | None) -> Iterator[str]:
    if _is_control(described, labels):
        yield (
            f"> **{CONTROL}, not for use.** Its words had each other's vectors in training: what it says of words that "
            "it never saw is chance, and shows what a model knows without their meaning.\n"
        )


def _what(described: Mapping[str, Any], labels: LabelEmbeddings | None) -> str:
    head = described["head"]
    name = "An ML-Decoder head"
    if "linear" in head:
        name = "A linear head" if head["decoder"] is None else "An ML-Decoder head beside a linear one"
    if labels is None:
        return f"{name} with an output for each of its classes."
    return f"{name} in zero-shot mode: it scores photographs for any words that have a vector in its label space."


def _facts(
    described: Mapping[str, Any], labels: LabelEmbeddings | None, record: Mapping[str, Any], licence: str | None
) -> Iterator[tuple[str, str]]:
    """Name and value, a line of the table each."""
    settings, digests = _mapping(record, "settings"), _mapping(record, "digests")
    yield "backbone", _backbone(described)
    yield "trained on", f"{len(described['seen'])} labels"
    if annotations := settings.get("annotations"):
        yield (
            "training data",
            f"{Path(str(annotations)).name}, records {digests.get('annotations', 'without a digest')}",
        )
    if labels is not None:
        sources = " + ".join(f"{without_folders(part.source)} ({part.kind})" for part in labels.provenance.parts)
        yield "label vectors", f"{labels.width} numbers from {sources}"
    yield from described.get("about", {}).items()
    if "seed" in settings:
        yield "seed", str(settings["seed"])
    versions = _mapping(record, "versions") or {"zsmld": described.get("zsmld_version", "unknown")}
    yield "versions", ", ".join(f"{package} {each}" for package, each in versions.items() if package != "platform")
    if licence:
        yield "licence", licence


def _backbone(described: Mapping[str, Any]) -> str:
    backbone = described["backbone"]
    if "preprocessing" not in backbone:
        return f"no backbone: ready-made features, {backbone.get('tokens')} tokens an image"
    size = backbone["preprocessing"]["image_size"]
    trained = "trained along" if described["backbone_trained"] else "frozen"
    return f"{backbone['name']}, {trained}; photographs of {size} × {size} pixels"


def without_folders(text: str) -> str:
    """`text` without the folders of the files in it, which mean nothing on another machine.

    It is a path, a source in the grammar of `--source`, or a text with paths in it; addresses of the web stay.
    """
    if "::" not in text and Path(text).is_absolute():
        return Path(text).name
    parts = re.split(r"(::(?:\w+=)?|,|@|local-dir:)", text)
    # Separators stand at the odd places.
    parts[::2] = [Path(part).name if Path(part).is_absolute() else part for part in parts[::2]]
    return re.sub(r"(?<![\w.:/])/(?:[^\s/]+/)+", "", "".join(parts))


def _table(rows: Iterator[tuple[str, str]]) -> str:
    return "| | |\n|---|---|\n" + "".join(f"| {escaped(key)} | {escaped(str(value))} |\n" for key, value in rows)


def _folded(title: str, content: str) -> str:
    """A part that is read where one asks for it."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>\n"


def _labels(seen: Sequence[str], labels: LabelEmbeddings | None) -> Iterator[str]:
    yield "## Labels\n"
    kind = "classes" if labels is None else "labels that it was trained on"
    yield _folded(f"The {len(seen)} {kind}", ", ".join(escaped(label) for label in seen))


def _figures(report: Mapping[str, Any]) -> Iterator[str]:
    sets = [part for part in _SETS if _mapping(report, part)]
    protocol = _mapping(report, "protocol")
    if not sets or not protocol:
        yield "Not measured.\n"
        return
    digest = _mapping(report, "digests").get("records", "without a digest")
    yield (
        f"Measured by `zsmld eval` on the split {escaped(str(report.get('split')))} of "
        f"{escaped(Path(str(report.get('data'))).name)} (records {escaped(str(digest))}), protocol "
        f"*{escaped(str(protocol.get('name')))}*: {escaped(str(protocol.get('about')))}. In percent:\n"
    )
    lines = ["| | " + " | ".join(_SETS[part] for part in sets) + " |", "|---" + "|---:" * len(sets) + "|"]
    for title, cells in _rows(report, [_mapping(report, part) for part in sets]):
        if any(cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    yield "\n".join(lines) + "\n"
    if missing := report.get("images_missing"):
        yield f"{escaped(str(missing))} images were not there, and were left out.\n"
    for difference in report.get("differences") or []:
        yield f"- {escaped(str(difference))}\n"
    rules = "\n".join(f"- {escaped(str(k))}: {escaped(str(v))}" for k, v in _mapping(protocol, "rules").items())
    yield _folded("The rules of the protocol", rules)


def _rows(report: Mapping[str, Any], sets: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Title and a cell a set."""
    for key in ("map", "accuracy@1", *(f"f1@{k}" for k in _ks(report))):
        title = key.replace("map", "mAP").replace("f1", "F1").replace("accuracy@1", "accuracy")
        yield f"{title} (95 % interval)", [_percent(part, key) for part in sets]
        if key == "map":
            yield "mAP of a random ranking", [_percent(part, "chance_map") for part in sets]
    for key in ("labels", "images"):
        yield key, [str(part.get(key, "")) for part in sets]


def _percent(figures: Mapping[str, Any], key: str) -> str:
    value, ends = figures.get(key), _mapping(figures, "intervals").get(key)
    if not isinstance(value, (int, float)):
        return ""
    told = f"{100 * value:.1f}"
    if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends):
        told += f" ({100 * ends[0]:.1f}–{100 * ends[1]:.1f})"
    return told


def _recipe(record: Mapping[str, Any]) -> Iterator[str]:
    given = _mapping(record, "settings").items()
    settings = {key: value for key, value in given if key not in _NO_RECIPE and value not in (None, [], "")}
    if settings:
        rows = ((key.replace("_", "-"), without_folders(_told(value))) for key, value in settings.items())
        yield "## Recipe\n"
        yield _folded("Every setting of the training", _table(rows))


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _use(labels: LabelEmbeddings | None, name: str | None) -> Iterator[str]:
    words = "" if labels is None else " --labels words.txt"
    yield "## Use\n"
    yield f"    zsmld predict photo.jpg{words} --model {name or 'THIS_FOLDER'}"
    yield f"    zsmld pull {name}\n" if name else ""


def _limits(labels: LabelEmbeddings | None) -> Iterator[str]:
    yield "## Limits\n"
    if labels is None:
        yield "- It knows its classes and no other words."
    else:
        yield "- Words that it was not trained on are scored through their vectors alone, less surely than those above."
        yield "- Words that `labels.safetensors` lacks need the source of the label vectors, which is not in here."
    yield "- Of photographs of another kind than those it was trained and measured on, nothing is known.\n"


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table under `key`; an empty one where there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _ks(report: Mapping[str, Any]) -> list[int]:
    ks = _mapping(report, "protocol").get("ks")
    return [k for k in ks if isinstance(k, int)] if isinstance(ks, list) else []
