"""Bad input of every kind through the real command line: one line that names the culprit, nothing lost."""

# ruff: noqa: E501 (one line a case)

import gzip
import json
import os
import resource
import shlex
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from zsmld import files
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance
from zsmld.tensors import DIGEST, read_tensors, write_tensors

SEEN = ("dog", "cat", "sea", "sky")
USAGE, INPUT, PARTIAL, ENVIRONMENT = 2, 3, 4, 5
Preparation = Callable[[Path], object]

EMBED = "embed-labels labels.txt --output new.safetensors"
TRAIN = "train"
EVAL = "eval --gzsl"
PREDICT = "predict photos/0.jpg --labels any.txt"
AGAIN = "train --run runs/001 --force"


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        name: shown by pytest.
        arguments: the command line.
        code: the exit code that is due.
        says: what the error line must hold: the file or flag concerned first of all.
        prepare: what to do to the workspace beforehand.
        variables: of the environment.
        stdout: what data there may be before the error.
    """

    name: str
    arguments: str
    code: int
    says: tuple[str, ...]
    prepare: tuple[Preparation, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    stdout: str = ""


CASES: list[Case] = []


def bad(name: str, arguments: str, code: int, *says: str, prepare: object = (), **more: object) -> None:
    steps = prepare if isinstance(prepare, tuple) else (prepare,)
    CASES.append(Case(name, arguments, code, says, steps, **more))  # type: ignore[arg-type]


# What is done to the workspace beforehand.


def put(name: str, content: str | bytes) -> Preparation:
    data = content if isinstance(content, bytes) else content.encode("utf-8")

    def prepare(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return prepare


def swap(name: str, old: str, new: str) -> Preparation:
    def prepare(folder: Path) -> None:
        text = (folder / name).read_text("utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), "utf-8")

    return prepare


def toml(old: str, new: str) -> Preparation:
    return swap("zsmld.toml", old, new)


def more_toml(text: str) -> Preparation:
    return lambda folder: (folder / "zsmld.toml").write_text((folder / "zsmld.toml").read_text() + text)


def remove(name: str) -> Preparation:
    return lambda folder: (folder / name).unlink()


def make_folder(name: str) -> Preparation:
    def prepare(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir(parents=True)

    return prepare


def fifo(name: str) -> Preparation:
    def prepare(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return prepare


def cut(name: str, part: float = 0.5) -> Preparation:
    def prepare(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * part)])

    return prepare


def flip(name: str, at: int = -3) -> Preparation:
    def prepare(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 0x10
        (folder / name).write_bytes(bytes(data))

    return prepare


def record(**changes: object) -> Preparation:
    """Change the first record of the annotations; None removes a key."""

    def prepare(folder: Path) -> None:
        lines = (folder / "annotations.jsonl").read_text().splitlines()
        first = {**json.loads(lines[0]), **changes}
        lines[0] = json.dumps({key: value for key, value in first.items() if value is not None})
        (folder / "annotations.jsonl").write_text("\n".join(lines) + "\n")

    return prepare


def config(**changes: object) -> Preparation:
    """Change the finished run's `config.json`; `head__width` is a key inside `head`."""

    def prepare(folder: Path) -> None:
        path = folder / "runs/001/config.json"
        values = json.loads(path.read_text())
        for key, value in changes.items():
            *parents, last = key.split("__")
            inner = values
            for parent in parents:
                inner = inner[parent]
            inner[last] = value
        path.write_text(json.dumps(values))

    return prepare


def unfinished(folder: Path) -> None:
    (folder / "runs/001/config.json").unlink()


def with_source(path: str) -> Preparation:
    """Let the finished run's labels say that their vectors came from `path` in the workspace."""

    def prepare(folder: Path) -> None:
        table = LabelEmbeddings.load(folder / "runs/001/labels.safetensors")
        moved = replace(table, provenance=Provenance((replace(table.provenance.parts[0], source=str(folder / path)),)))
        moved.save(folder / "runs/001/labels.safetensors", force=True)

    return prepare


def narrower_labels(folder: Path) -> None:
    path = folder / "runs/001/labels.safetensors"
    table = LabelEmbeddings.load(path)
    replace(table, vectors=np.ascontiguousarray(table.vectors[:, :4])).save(path, force=True)


def fewer_labels(folder: Path) -> None:
    path = folder / "embeddings.safetensors"
    table = LabelEmbeddings.load(path)
    table.select(table.labels[1:]).save(path, force=True)


def checkpoint_without(group: str) -> Preparation:
    def prepare(folder: Path) -> None:
        path = folder / "runs/001/checkpoint.safetensors"
        arrays, metadata = read_tensors(path)
        kept = {name: array for name, array in arrays.items() if not name.startswith(group)}
        write_tensors(path, kept, {key: text for key, text in metadata.items() if key != DIGEST})

    return prepare


def checkpoint_of_another_format(folder: Path) -> None:
    arrays, metadata = read_tensors(folder / "runs/001/checkpoint.safetensors")
    write_tensors(folder / "runs/001/checkpoint.safetensors", arrays, {**metadata, "format": "9"})


def other_weights(folder: Path) -> None:
    arrays, metadata = read_tensors(folder / "runs/001/model.safetensors")
    arrays["head.embed_tokens.bias"] = arrays["head.embed_tokens.bias"] + 1
    write_tensors(folder / "runs/001/model.safetensors", arrays, metadata)


def foreign_safetensors(name: str) -> Preparation:
    return put(name, safetensors.numpy.save({"x": np.zeros((2, 3), dtype=np.float32)}))


def huge_png(name: str) -> Preparation:
    """A header that promises 12,000 × 12,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    return put(name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)))


def vectors(folder: Path) -> list[str]:
    return (folder / "vectors.txt").read_text().splitlines(keepends=True)


def vector_row(change: Callable[[str], str]) -> Preparation:
    """Change the second row of the word vectors."""

    def prepare(folder: Path) -> None:
        rows = vectors(folder)
        rows[1] = change(rows[1].rstrip("\n")) + "\n"
        (folder / "vectors.txt").write_text("".join(rows))

    return prepare


def truncated_gzip(folder: Path) -> None:
    data = gzip.compress("".join(vectors(folder)).encode())
    (folder / "vectors.txt").write_bytes(data[: len(data) // 2])


def wrong_header(folder: Path) -> None:
    (folder / "vectors.txt").write_text(f"99 8\n{''.join(vectors(folder))}")


# fmt: off
# Label files.
bad("labels absent", "embed-labels nope.txt --output new", INPUT, "nope.txt", "no such file")
bad("labels folder", "embed-labels photos --output new", INPUT, "photos", "folder")
bad("labels fifo", EMBED, INPUT, "labels.txt", "pipe", prepare=fifo("labels.txt"))
bad("labels not utf-8", EMBED, INPUT, "labels.txt:2:", "UTF-8", prepare=put("labels.txt", b"dog\ncaf\xe9\n"))
bad("labels empty", EMBED, INPUT, "labels.txt", "no label", prepare=put("labels.txt", "# none\n\n"))
bad("labels twice", EMBED, INPUT, "labels.txt:3:", "line 1", prepare=put("labels.txt", "dog\ncat\ndog\n"))
bad("labels variant twice", EMBED, INPUT, "labels.txt:2:", "'Polar_Bear'", prepare=put("labels.txt", "polar bear\nPolar_Bear"))
bad("labels escape code", EMBED, INPUT, "labels.txt:1:", "U+001B", prepare=put("labels.txt", "\x1b[31mdog\n"))
bad("labels columns", EMBED, INPUT, "labels.txt:1:", "a tab", prepare=put("labels.txt", "dog\t1\n"))
bad("labels too long", EMBED, INPUT, "labels.txt:1:", "characters", prepare=put("labels.txt", "dog" * 100))
bad("labels no word", EMBED, INPUT, "labels.txt:2:", "no word", prepare=put("labels.txt", "dog\n--\n"))
bad("labels missing argument", "embed-labels", USAGE, "LABELS")
bad("seen absent", "train --seen nope.txt", INPUT, "nope.txt", "no such file")
bad("seen empty", TRAIN, INPUT, "seen.txt", prepare=put("seen.txt", ""))
bad("seen without vector", TRAIN, INPUT, "seen.txt", "'fish'", prepare=put("seen.txt", "dog\nfish\n"))
bad("seen in no image", TRAIN, INPUT, "annotations.jsonl", prepare=(put("seen.txt", "fish\n"), put("labels.txt", "fish\n"), lambda folder: LabelEmbeddings(("fish",), np.ones((1, 8), np.float32), ("",), LabelEmbeddings.load(folder / "embeddings.safetensors").provenance).save(folder / "embeddings.safetensors", force=True)))
bad("unseen absent", "eval --unseen nope.txt", INPUT, "nope.txt")
bad("unseen not given", EVAL, USAGE, "--unseen", prepare=toml('unseen = "unseen.txt"', ""))
bad("seen not given", TRAIN, USAGE, "--seen", prepare=toml('seen = "seen.txt"\n', ""))
bad("unseen is seen", EVAL, INPUT, "unseen.txt:2:", "'Dog'", "config.json", prepare=put("unseen.txt", "wolf\nDog\n"))
bad("unseen without vector", EVAL, INPUT, "'zebra'", "vectors.txt", prepare=put("unseen.txt", "wolf\nzebra\n"))

# Word vectors and CLIP sources.
bad("vectors absent", f"{EMBED} --source nope.txt", INPUT, "nope.txt")
bad("vectors not given", EMBED, USAGE, "--source", prepare=toml('source = "vectors.txt"\n', ""))
bad("vectors folder", f"{EMBED} --source photos", INPUT, "photos", "folder")
bad("vectors name too long", f"{EMBED} --source {'x' * 300}", INPUT, "xxx")
bad("vectors ragged", EMBED, INPUT, "vectors.txt:2:", prepare=vector_row(lambda row: row.rpartition(" ")[0]))
bad("vectors too wide", EMBED, INPUT, "vectors.txt:2:", prepare=vector_row(lambda row: row + " 0.5"))
bad("vectors nan", EMBED, INPUT, "vectors.txt:2:", "finite", prepare=vector_row(lambda row: row.rpartition(" ")[0] + " nan"))
bad("vectors no number", EMBED, INPUT, "vectors.txt:2:", "1,5", prepare=vector_row(lambda row: row.rpartition(" ")[0] + " 1,5"))
bad("vectors zero", EMBED, INPUT, "vectors.txt:2:", "zero", prepare=vector_row(lambda row: row.split()[0] + " 0" * 8))
bad("vectors empty", EMBED, INPUT, "vectors.txt", "empty", prepare=put("vectors.txt", ""))
bad("vectors prose", EMBED, INPUT, "vectors.txt:1:", prepare=put("vectors.txt", "It was a dark night.\n" * 20))
bad("vectors truncated gzip", EMBED, INPUT, "vectors.txt", "truncated", prepare=truncated_gzip)
bad("vectors pickle", EMBED, INPUT, "vectors.txt", "pickle", prepare=put("vectors.txt", b"\x80\x04\x95" + b"x" * 50))
bad("vectors zip", EMBED, INPUT, "vectors.txt", "zip", prepare=put("vectors.txt", b"PK\x03\x04" + b"\0" * 50))
bad("vectors header", EMBED, INPUT, "vectors.txt", "promises 99", prepare=wrong_header)
bad("vectors not utf-8", EMBED, INPUT, "vectors.txt:1:", "UTF-8", prepare=put("vectors.txt", b"caf\xe9 1.5 2.5\ndog 1.0 2.0\n"))
bad("vectors lack a word", EMBED, INPUT, "labels.txt:2:", "'zebra'", "--missing", prepare=put("labels.txt", "dog\nzebra\n"))
bad("vectors lack every word", f"{EMBED} --missing skip", INPUT, "labels.txt", prepare=put("labels.txt", "zebra\n"))
bad("templates with vectors", f"{EMBED} --templates seen.txt", USAGE, "templates")
bad("templates absent", f"{EMBED} --source open_clip:ViT-B-32@nope --templates nope.txt", INPUT, "nope.txt")
bad("templates without place", f"{EMBED} --source open_clip:ViT-B-32@nope --templates t.txt", INPUT, "t.txt:2:", prepare=put("t.txt", "a {}\na photo\n"))
bad("clip empty", f"{EMBED} --source open_clip:", USAGE, "open_clip:")
bad("clip model unknown", f"{EMBED} --source open_clip:ViT-B-23@x", USAGE, "ViT-B-23", "Did you mean")
bad("clip without weights", f"{EMBED} --source open_clip:ViT-B-32", USAGE, "open_clip:ViT-B-32", "weights")
bad("clip tag unknown", f"{EMBED} --source open_clip:ViT-B-32@laion3b", USAGE, "laion3b")
bad("clip weights pickle", f"{EMBED} --source open_clip:ViT-B-32@w.pt", INPUT, "w.pt", "pickle", prepare=put("w.pt", b"x"))
bad("clip not on this machine", f"{EMBED} --source open_clip:hf-hub:no-such/model-here", ENVIRONMENT, "no-such/model-here")
bad("clip folder absent", f"{EMBED} --source open_clip:local-dir:nope", INPUT, "nope")

# Annotations.
bad("annotations absent", "train --annotations nope.jsonl", INPUT, "nope.jsonl")
bad("annotations not given", TRAIN, USAGE, "--annotations", prepare=toml('annotations = "annotations.jsonl"', ""))
bad("annotations folder", "train --annotations photos", INPUT, "photos")
bad("annotations fifo", TRAIN, INPUT, "annotations.jsonl", "pipe", prepare=fifo("annotations.jsonl"))
bad("annotations not json", TRAIN, INPUT, "annotations.jsonl:2:", "JSON", prepare=put("annotations.jsonl", "\n{'image'}\n"))
bad("annotations not utf-8", TRAIN, INPUT, "annotations.jsonl:1:", prepare=put("annotations.jsonl", b'{"image": "\xe9"}'))
bad("annotations nested", TRAIN, INPUT, "annotations.jsonl:1:", prepare=put("annotations.jsonl", "[" * 100_000))
bad("annotations long number", TRAIN, INPUT, "annotations.jsonl:1:", prepare=put("annotations.jsonl", "1" * 5000))
bad("annotations a list", TRAIN, INPUT, "annotations.jsonl:1:", "object", prepare=put("annotations.jsonl", "[1]\n"))
bad("annotations empty", TRAIN, INPUT, "annotations.jsonl", "no record", prepare=put("annotations.jsonl", "\n"))
bad("annotations lack labels", TRAIN, INPUT, "annotations.jsonl:1:", "'labels'", prepare=record(labels=None))
bad("annotations key misspelt", TRAIN, INPUT, "annotations.jsonl:1:", "Did you mean 'spilt'", prepare=record(split=None, spilt="train"))
bad("annotations labels a text", TRAIN, INPUT, "annotations.jsonl:1:", "labels", prepare=record(labels="dog"))
bad("annotations labels numbers", TRAIN, INPUT, "annotations.jsonl:1:", "labels", prepare=record(labels=[1, 2]))
bad("annotations image a number", TRAIN, INPUT, "annotations.jsonl:1:", "image", prepare=record(image=7))
bad("annotations split unknown", TRAIN, INPUT, "annotations.jsonl:1:", "'dev'", prepare=record(split="dev"))
bad("annotations split a list", TRAIN, INPUT, "annotations.jsonl:1:", "split", prepare=record(split=["train"]))
bad("annotations leave the folder", TRAIN, INPUT, "annotations.jsonl:1:", "leaves", prepare=record(image="../x.jpg"))
bad("annotations absolute", TRAIN, INPUT, "annotations.jsonl:1:", "leaves", prepare=record(image="/etc/passwd"))
bad("annotations nul", TRAIN, INPUT, "annotations.jsonl:1:", prepare=record(image="a\0b"))
bad("annotations half a character", TRAIN, INPUT, "annotations.jsonl:1:", prepare=record(labels=["dog", "\ud800"]))
bad("annotations image twice", TRAIN, INPUT, "annotations.jsonl:2:", "line 1", prepare=record(image="photos/1.jpg"))
bad("annotations no train", TRAIN, INPUT, "annotations.jsonl", "'train'", prepare=swap("annotations.jsonl", '"train"', '"test"'))
bad("annotations no test", EVAL, INPUT, "annotations.jsonl", "'test'", prepare=swap("annotations.jsonl", '"test"', '"val"'))
bad("images folder absent", "train --images nope", INPUT, "nope", "--images")

# Photographs.
for command in (TRAIN, EVAL, f"{AGAIN}", f"{TRAIN} --train-backbone"):
    victim = "photos/8.jpg" if command == EVAL else "photos/1.jpg"
    bad(f"image absent: {command}", command, INPUT, victim, prepare=remove(victim))
bad("image truncated", TRAIN, INPUT, "photos/1.jpg", "truncated", prepare=cut("photos/1.jpg"))
bad("image empty", TRAIN, INPUT, "photos/1.jpg", "empty", prepare=put("photos/1.jpg", b""))
bad("image fifo", TRAIN, INPUT, "photos/1.jpg", "pipe", prepare=fifo("photos/1.jpg"))
bad("image folder", TRAIN, INPUT, "photos/1.jpg", "folder", prepare=make_folder("photos/1.jpg"))
bad("image text", TRAIN, INPUT, "photos/1.jpg", "no image", prepare=put("photos/1.jpg", "not a photograph"))
bad("image huge", TRAIN, INPUT, "photos/1.jpg", "12000 × 12000", prepare=huge_png("photos/1.jpg"))
bad("image svg", TRAIN, INPUT, "photos/1.jpg", prepare=put("photos/1.jpg", "<svg xmlns='http://www.w3.org/2000/svg'/>"))

# zsmld.toml.
bad("toml unknown key", TRAIN, USAGE, "zsmld.toml:20:", "'epoch'", "Did you mean 'epochs'", prepare=toml("epochs = 1", "epoch = 1"))
bad("toml unknown table", TRAIN, USAGE, "zsmld.toml:19:", "[tain]", prepare=toml("[train]", "[tain]"))
bad("toml key outside", TRAIN, USAGE, "zsmld.toml", "'epochs'", prepare=put("zsmld.toml", "epochs = 3\n"))
bad("toml wrong type", TRAIN, USAGE, "zsmld.toml:20:", "'many'", prepare=toml("epochs = 1", 'epochs = "many"'))
bad("toml table for value", TRAIN, USAGE, "zsmld.toml", "seen", prepare=toml('seen = "seen.txt"', "seen = {a = 1}"))
bad("toml true for number", TRAIN, USAGE, "zsmld.toml:20:", prepare=toml("epochs = 1", "epochs = true"))
bad("toml out of range", TRAIN, USAGE, "zsmld.toml:20:", "at least 1", prepare=toml("epochs = 1", "epochs = 0"))
bad("toml fraction", TRAIN, USAGE, "zsmld.toml:20:", "whole number", prepare=toml("epochs = 1", "epochs = 1.5"))
bad("toml infinite", TRAIN, USAGE, "zsmld.toml", "dropout", prepare=toml("heads = 2", "dropout = inf"))
bad("toml not toml", TRAIN, USAGE, "zsmld.toml:20:", "TOML", prepare=toml("epochs = 1", "epochs = = 1"))
bad("toml key twice", TRAIN, USAGE, "zsmld.toml", "TOML", prepare=more_toml("device = 'cpu'\n"))
bad("toml not utf-8", TRAIN, USAGE, "zsmld.toml:2:", "UTF-8", prepare=put("zsmld.toml", b"[data]\nimages = '\xe9'\n"))
bad("toml long number", TRAIN, USAGE, "zsmld.toml", prepare=toml("epochs = 1", "epochs = " + "1" * 5000))
bad("toml nested", TRAIN, USAGE, "zsmld.toml", prepare=put("zsmld.toml", "a = " + "[" * 100_000))
bad("toml folder", TRAIN, USAGE, "zsmld.toml", "folder", prepare=make_folder("zsmld.toml"))
bad("toml fifo", TRAIN, USAGE, "zsmld.toml", "pipe", prepare=fifo("zsmld.toml"))
bad("toml dangling link", TRAIN, USAGE, "zsmld.toml", prepare=(remove("zsmld.toml"), lambda folder: (folder / "zsmld.toml").symlink_to("gone")))
bad("toml nul in path", TRAIN, INPUT, "null", prepare=toml('seen = "seen.txt"', 'seen = "a\\u0000b"'))
bad("toml nul in source", EMBED, INPUT, "null", prepare=toml('source = "vectors.txt"', 'source = "a\\u0000b"'))
bad("toml unknown choice", TRAIN, USAGE, "zsmld.toml", "'gpu'", prepare=toml('device = "cpu"', 'device = "gpu"'))

# Flags.
bad("no command", "", USAGE, "command")
bad("no such command", "trian", USAGE, "trian")
bad("no such flag", "train --epoch 3", USAGE, "--epoch")
bad("flag without value", "train --epochs", USAGE, "--epochs")
bad("surplus argument", "train everything", USAGE, "everything")
bad("flag wrong type", "train --epochs many", USAGE, "--epochs", "'many'", "whole number")
bad("flag not a number", "train --learning-rate nan", USAGE, "--learning-rate", "'nan'")
bad("flag out of range", "train --epochs 0", USAGE, "--epochs", "at least 1")
bad("flag at its bound", "train --dropout 1", USAGE, "--dropout", "below 1")
bad("flag unknown choice", "train --optimizer sgd", USAGE, "--optimizer", "adamw")
bad("flag empty path", "train --seen ''", USAGE, "--seen", "path")
bad("flag negative seed", "train --seed -1", USAGE, "--seed")
bad("flag huge seed", "train --seed 99999999999999999999", USAGE, "--seed")
bad("flag huge batch", f"{PREDICT} --batch-size 99999999999999999999", USAGE, "--batch-size")
bad("flag mean of two", "train --mean 0.5,0.5", USAGE, "--mean")
bad("flag mean of words", "train --mean grey", USAGE, "--mean", "'grey'")
bad("flag std of zero", "train --std 0", USAGE, "--std")
bad("flag heads", "train --width 15", USAGE, "width", "15", "2")
bad("flag device absent", "train --device mps", ENVIRONMENT, "--device mps")
bad("flag image size", "train --image-size 8", USAGE, "--image-size")
bad("flag format", f"{PREDICT} --format xml", USAGE, "--format")
bad("flag top k", f"{PREDICT} --top-k -1", USAGE, "--top-k")

# Variables.
bad("variable wrong type", TRAIN, USAGE, "ZSMLD_EPOCHS", "'many'", variables={"ZSMLD_EPOCHS": "many"})
bad("variable out of range", TRAIN, USAGE, "ZSMLD_DROPOUT", variables={"ZSMLD_DROPOUT": "1"})
bad("variable not a truth", TRAIN, USAGE, "ZSMLD_DRY_RUN", variables={"ZSMLD_DRY_RUN": "perhaps"})
bad("variable unknown choice", EVAL, USAGE, "ZSMLD_SPLIT", variables={"ZSMLD_SPLIT": "dev"})
bad("variable names no file", TRAIN, INPUT, "nope.txt", variables={"ZSMLD_SEEN": "nope.txt"})
bad("cache is a file", TRAIN, ENVIRONMENT, "seen.txt", variables={"ZSMLD_CACHE": "seen.txt"})

# Label embeddings.
LABEL_FILE = "embeddings.safetensors"
bad("embeddings absent", TRAIN, INPUT, LABEL_FILE, "embed-labels", prepare=remove(LABEL_FILE))
bad("embeddings truncated", TRAIN, INPUT, LABEL_FILE, prepare=cut(LABEL_FILE))
bad("embeddings flipped bit", TRAIN, INPUT, LABEL_FILE, "damaged", prepare=flip(LABEL_FILE))
bad("embeddings text", TRAIN, INPUT, LABEL_FILE, prepare=put(LABEL_FILE, "dog 1 2 3\n"))
bad("embeddings empty", TRAIN, INPUT, LABEL_FILE, prepare=put(LABEL_FILE, b""))
bad("embeddings foreign", TRAIN, INPUT, LABEL_FILE, prepare=foreign_safetensors(LABEL_FILE))
bad("embeddings lack a label", TRAIN, INPUT, "seen.txt", "'dog'", prepare=fewer_labels)
bad("embeddings fifo", TRAIN, INPUT, LABEL_FILE, "pipe", prepare=fifo(LABEL_FILE))
bad("embeddings exist", "embed-labels labels.txt", USAGE, LABEL_FILE, "--force")

# Backbones.
bad("backbone library", "train --backbone torch:resnet", USAGE, "torch:resnet")
bad("backbone unknown", "train --backbone timm:test_convnxt", USAGE, "test_convnxt", "Did you mean")
bad("backbone argument", "train --backbone-arg stride", USAGE, "'stride'", "key=value")
bad("backbone argument unknown", "train --backbone-arg nope=3", USAGE, "nope")
bad("backbone weights absent", "train --backbone-weights nope.safetensors", INPUT, "nope.safetensors")
bad("backbone weights text", "train --backbone-weights w.safetensors", INPUT, "w.safetensors", prepare=put("w.safetensors", "text"))
bad("backbone weights foreign", "train --backbone-weights w.safetensors", INPUT, "w.safetensors", prepare=foreign_safetensors("w.safetensors"))
bad("backbone weights pickle", "train --backbone-weights w.pt", INPUT, "w.pt", "pickle", prepare=put("w.pt", b"\x80\x04"))
bad("backbone not on this machine", "train --backbone timm:resnet18", ENVIRONMENT, "resnet18", prepare=toml('backbone_weights = "random"', ""))

bad("backbone without maps", "train --backbone-arg features_only=True", USAGE, "test_convnext")
bad("backbone for grey images", "train --backbone-arg in_chans=1", USAGE, "test_convnext")
bad("backbone argument of another type", "train --backbone-arg depths=big", USAGE, "test_convnext")
bad("backbone image size of another patch", "train --backbone timm:test_vit --image-size 17", USAGE, "test_vit", "17")
bad("backbone image size beyond memory", "train --image-size 1000000000", USAGE, "1000000000 pixels")
bad("backbone mean beyond half precision", "train --std 1e-30", INPUT, "photos/0.jpg", "--std")

# Run folders.
bad("run exists", "train --run runs/001", USAGE, "runs/001", "--resume", "--force")
bad("run is a file", "train --run seen.txt", INPUT, "seen.txt")
bad("run below a file", "train --run seen.txt/001", ENVIRONMENT, "seen.txt/001")
bad("runs is a file", "train --runs seen.txt", ENVIRONMENT, "seen.txt")
bad("resume nothing", "train --resume", USAGE, "runs", "resume")
RESUME = "train --run runs/001 --resume"
bad("resume other epochs", f"{RESUME} --epochs 9", USAGE, "--epochs", "9", "runs/001", prepare=unfinished)
bad("resume other seed", f"{RESUME} --seed 9", USAGE, "--seed", prepare=unfinished)
bad("resume changed annotations", RESUME, INPUT, "runs/001", "annotations", prepare=(unfinished, record(labels=["cat"])))
bad("resume damaged checkpoint", RESUME, INPUT, "checkpoint.safetensors", "damaged", prepare=(unfinished, flip("runs/001/checkpoint.safetensors")))
bad("resume truncated checkpoint", RESUME, INPUT, "checkpoint.safetensors", prepare=(unfinished, cut("runs/001/checkpoint.safetensors")))
bad("resume foreign checkpoint", RESUME, INPUT, "checkpoint.safetensors", prepare=(unfinished, foreign_safetensors("runs/001/checkpoint.safetensors")))
bad("resume partial checkpoint", RESUME, INPUT, "checkpoint.safetensors", prepare=(unfinished, checkpoint_without("optimizer")))
bad("resume other model's checkpoint", RESUME, INPUT, "checkpoint.safetensors", prepare=(unfinished, checkpoint_without("model/readout")))
bad("resume checkpoint of another format", RESUME, INPUT, "checkpoint.safetensors", "'9'", prepare=(unfinished, checkpoint_of_another_format))
bad("resume without record", RESUME, INPUT, "run.json", prepare=(unfinished, remove("runs/001/run.json")))
bad("resume damaged record", RESUME, INPUT, "run.json", prepare=(unfinished, put("runs/001/run.json", "[]")))
bad("resume a foreign folder", "train --run photos --resume", USAGE, "photos", prepare=put("photos/report.json", "{}"))
bad("latest is a folder", TRAIN, USAGE, "runs/latest", prepare=(remove("runs/latest"), make_folder("runs/latest")))
# Starting over must not cost the finished model before it is certain that the new one can be trained.
bad("start over with unknown backbone", f"{AGAIN} --backbone timm:nope", USAGE, "nope")
bad("start over with bad heads", f"{AGAIN} --heads 3", USAGE, "width", "3")
bad("start over without device", f"{AGAIN} --device mps", ENVIRONMENT, "--device mps")
bad("start over with truncated image", AGAIN, INPUT, "photos/2.jpg", prepare=cut("photos/2.jpg"))

# Model folders.
for command in (EVAL, PREDICT):
    which = command.split()[0]
    bad(f"{which}: model absent", f"{command} --model nope", INPUT, "nope")
    bad(f"{which}: model a file", f"{command} --model seen.txt", INPUT, "seen.txt")
    bad(f"{which}: model unfinished", command, INPUT, "runs/latest", "--resume", prepare=unfinished)
    # Without a run CLIP scores, which is not on the machine that runs this.
    none_yet = (ENVIRONMENT, "open_clip_model.safetensors") if which == "predict" else (INPUT, "runs/latest")
    bad(f"{which}: no model yet", command, *none_yet, prepare=remove("runs/latest"))
MODEL, CONFIG, OWN_LABELS = "runs/001/model.safetensors", "runs/001/config.json", "runs/001/labels.safetensors"
bad("model weights damaged", PREDICT, INPUT, "model.safetensors", "damaged", prepare=flip(MODEL))
bad("model weights truncated", PREDICT, INPUT, "model.safetensors", prepare=cut(MODEL))
bad("model weights absent", PREDICT, INPUT, "model.safetensors", prepare=remove(MODEL))
bad("model weights of another model", PREDICT, INPUT, "model.safetensors", "digest", prepare=other_weights)
bad("model config not json", PREDICT, INPUT, "config.json:1:", "JSON", prepare=put(CONFIG, "{"))
bad("model config a list", PREDICT, INPUT, "config.json", prepare=put(CONFIG, "[]"))
bad("model config long number", PREDICT, INPUT, "config.json", prepare=put(CONFIG, "1" * 5000))
bad("model config newer", PREDICT, INPUT, "config.json", "version 2", prepare=config(format_version=2))
bad("model config other width", PREDICT, INPUT, "config.json", prepare=config(head__width=32))
bad("model config head a text", PREDICT, INPUT, "config.json", prepare=config(head="big"))
bad("model config heads zero", PREDICT, INPUT, "config.json", prepare=config(head__heads=0))
bad("model config backbone", PREDICT, INPUT, "config.json", prepare=config(backbone__name="timm:nope"))
bad("model config arguments", PREDICT, INPUT, "config.json", prepare=config(backbone__arguments={"nope": 1}))
bad("model config seen", PREDICT, INPUT, "config.json", "seen", prepare=config(seen=[1]))
bad("model config seen twice", EVAL, INPUT, "'dog'", prepare=config(seen=["dog", "dog"]))
bad("model labels damaged", PREDICT, INPUT, "labels.safetensors", prepare=flip(OWN_LABELS))
bad("model labels absent", PREDICT, INPUT, "labels.safetensors", prepare=remove(OWN_LABELS))
bad("model labels of another width", PREDICT, INPUT, "labels.safetensors", "4", "8", prepare=narrower_labels)

# Prediction.
bad("predict no image", "predict --labels any.txt", USAGE, "photograph")
bad("predict no labels", "predict photos", USAGE, "--labels")
bad("predict absent image", "predict nope.jpg --labels any.txt", INPUT, "nope.jpg")
bad("predict empty folder", "predict runs/001 --labels any.txt", INPUT, "runs/001", "no image")
bad("predict labels absent", "predict photos --labels nope.txt", INPUT, "nope.txt")
bad("predict output exists", f"{PREDICT} --output seen.txt", USAGE, "seen.txt", "--force")
bad("predict output folder", f"{PREDICT} --output photos --force", ENVIRONMENT, "photos")
bad("predict output fifo", f"{PREDICT} --output pipe --force", ENVIRONMENT, "pipe", "a pipe", prepare=fifo("pipe"))
bad("predict output below a file", f"{PREDICT} --output seen.txt/x.csv", ENVIRONMENT, "seen.txt", "folder")
bad("predict new word", PREDICT, INPUT, "'zebra'", "vectors.txt", prepare=put("any.txt", "dog\nzebra\n"))
bad("predict source gone", PREDICT, INPUT, "vectors.txt", "gone", "--source", prepare=(with_source("vectors.txt"), remove("vectors.txt")))
bad("predict source changed", PREDICT, INPUT, "vectors.txt", "--source", prepare=(with_source("vectors.txt"), swap("vectors.txt", "0.", "1.")))
bad("predict source absent", f"{PREDICT} --source nope.txt", INPUT, "nope.txt")
bad("predict source of another width", f"{PREDICT} --source w.txt", INPUT, "w.txt", prepare=put("w.txt", "fish 1 2\nbird 2 1\n"))
TAGGED = "predict photos/0.jpg photos/1.jpg --labels seen.txt --top-k 1 --format csv"
bad("predict truncated image", TAGGED, PARTIAL, "1 of 2", prepare=cut("photos/1.jpg"), stdout="path,rank,label,score,threshold,seen,nearest,error\nphotos/0.jpg,1,")
bad("predict only bad images", TAGGED, PARTIAL, "2 of 2", prepare=(fifo("photos/0.jpg"), huge_png("photos/1.jpg")), stdout="path,rank,label,score,threshold,seen,nearest,error\nphotos/0.jpg,,")

# Short lists.
bad("predict no short list", f"{PREDICT.replace('any', 'seen')} --short-list on", USAGE, "runs/latest", "zsmld short-list")
bad("predict short list of all", f"{PREDICT.replace('any', 'seen')} --short-list on --top-k 0", USAGE, "--top-k")
bad("predict short list damaged", f"{PREDICT.replace('any', 'seen')} --short-list on", INPUT, "short_list.safetensors", "zsmld short-list", prepare=put("runs/001/short_list.safetensors", "no tensors"))
bad("short-list no labels", "short-list photos", USAGE, "--labels")
bad("short-list no image", "short-list --labels seen.txt", USAGE, "photograph")
bad("short-list few labels", "short-list photos --labels seen.txt", USAGE, "4 labels", "at least 100")
bad("short-list no model", "short-list photos --labels seen.txt --model nope", INPUT, "nope")

# The machine.
bad("memory", "train --feed-forward 100000000000000", ENVIRONMENT, "memory")
bad("sample exists", "sample photos", USAGE, "photos")
bad("sample below a file", "sample seen.txt/demo", ENVIRONMENT, "seen.txt")
bad("sample huge seed", f"sample demo --seed {2**32}", USAGE, "--seed")
bad("sample seed", "sample demo --seed x", USAGE, "--seed")
# fmt: on


def contents(folder: Path) -> dict[Path, bytes]:
    """Every regular file's bytes, and every link's target."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[path] = os.fsencode(path.readlink())
        elif path.is_file():
            found[path] = path.read_bytes()
    return found


def assert_as_before(before: dict[Path, bytes], folder: Path) -> None:
    after = contents(folder)
    changed = [str(path) for path, data in before.items() if after.get(path) != data]
    assert not changed
    temporary = [path for place in (folder, Path(os.environ["ZSMLD_CACHE"])) for path in place.rglob(".zsmld-*")]
    assert not temporary


def assert_told(outcome, code, says):
    assert len(outcome.errors) == 1, outcome.stderr
    assert outcome.stderr.rstrip("\n").splitlines()[-1] == outcome.errors[0]
    assert "Traceback" not in outcome.stderr
    assert "bug of zsmld" not in outcome.stderr
    for text in says:
        assert text in outcome.errors[0]
    assert outcome.code == code, outcome.errors[0]


# Known faults: strict, so that a mended one is noticed.
PARAMETERS = [pytest.param(case, id=case.name) for case in CASES]


@pytest.mark.parametrize("case", PARAMETERS)
def test_one_line_and_nothing_lost(case, zsmld, workspace, monkeypatch):
    if "mps" in case.arguments and torch.backends.mps.is_available():
        pytest.skip("this machine has that device")
    for prepare in case.prepare:
        prepare(workspace)
    for name, value in case.variables.items():
        monkeypatch.setenv(name, value)
    before = contents(workspace)
    outcome = zsmld(*shlex.split(case.arguments))
    assert_told(outcome, case.code, case.says)
    assert outcome.stdout.startswith(case.stdout) if case.stdout else outcome.stdout == ""
    assert_as_before(before, workspace)


DAMAGED_CACHES = {
    "digests a list": ("digests.json", b"[]"),
    "digests damaged": ("digests.json", b'{"a": 1}'),
    "digests not json": ("digests.json", b"{"),
    "digests another size": ("digests.json", b'{"a": ["x", "y", "z"]}'),
    "shard cut": ("*/00000.npy", b"\x93NUMPY"),
    "shard absent": ("*/00000.npy", None),
    "description not json": ("*/00000.json", b"{"),
    "description a list": ("*/00000.json", b"[]"),
    "description without shape": ("*/00000.json", b'{"shape": 1}'),
}


@pytest.mark.parametrize("name", DAMAGED_CACHES)
def test_a_damaged_token_cache_is_told_or_mended(name, zsmld, workspace, monkeypatch):
    monkeypatch.setenv("ZSMLD_CACHE", str(workspace / "cache"))
    assert zsmld("eval").code == 0
    pattern, content = DAMAGED_CACHES[name]
    (damaged,) = (workspace / "cache").glob(pattern)
    damaged.unlink() if content is None else damaged.write_bytes(content)
    outcome = zsmld("eval")
    if outcome.code:
        assert_told(outcome, INPUT, [damaged.name if content is not None else "00000"])
    assert "Traceback" not in outcome.stderr


@contextmanager
def no_space_left() -> Iterator[None]:
    """No file may grow beyond a kilobyte: as on a full disk, a write fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("embed-labels labels.txt --source long.txt --force", "embeddings.safetensors"),
        ("train --run runs/002 --width 32", "runs/002/run.json"),
        ("eval --gzsl", "report.html"),
        ("predict photos --labels labels.txt --top-k 0 --format csv --output tags.csv --force", "tags.csv"),
    ],
)
def test_a_full_disk_costs_nothing(arguments, named, zsmld, workspace):
    put("tags.csv", "made before\n")(workspace)
    put("report.json", "{}")(workspace / "runs/001")
    wide = "".join(f"{word} " + "0.25 " * 299 + "1\n" for word in (*SEEN, "polar", "bear", "wolf"))
    put("long.txt", wide)(workspace)
    before = contents(workspace)
    zsmld("predict", "photos", "--labels", "any.txt")  # imports everything, and may write what imports do
    with no_space_left():
        outcome = zsmld(*shlex.split(arguments))
    assert_told(outcome, ENVIRONMENT, [named])
    assert_as_before(before, workspace)


def test_a_run_that_another_process_writes_is_left_alone(zsmld, workspace):
    with files.locked(workspace / "runs/001"):
        before = contents(workspace)
        outcome = zsmld(*shlex.split(AGAIN))
    assert_told(outcome, ENVIRONMENT, ["runs/001", "another zsmld process"])
    assert_as_before(before, workspace)


def test_a_loss_that_is_lost_keeps_its_checkpoint(zsmld, workspace):
    before = contents(workspace)
    outcome = zsmld("train", "--run", "runs/002", "--learning-rate", "1e30", "--epochs", "20", "--clip-norm", "0")
    assert_told(outcome, USAGE, ["runs/002", "--learning-rate"])
    assert_as_before(before, workspace)
    assert "NaN" not in "".join(path.read_text() for path in (workspace / "runs/002").glob("*.json*"))


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["train", "--epochs", "none"], USAGE, "--epochs"),
        (["embed-labels", "nope.txt", "--output", "x"], INPUT, "nope.txt"),
        (["predict", "photos/0.jpg", "--labels", "seen.txt", "--model", "nope"], INPUT, "nope"),
        (["embed-labels", b"caf\xe9.txt", "--output", "x"], INPUT, ".txt"),
    ],
)
def test_as_a_process(arguments, code, named, zsmld, workspace):
    before = contents(workspace)
    outcome = zsmld.process(*arguments)
    assert_told(outcome, code, [named])
    assert outcome.stdout == ""
    assert_as_before(before, workspace)


def test_a_full_standard_output(zsmld):
    with Path("/dev/full").open("wb") as full:
        for arguments in (["predict", "photos/0.jpg", "--labels", "seen.txt"], ["--help"]):
            outcome = zsmld.process(*arguments, stdout=full)
            assert_told(outcome, ENVIRONMENT, ["no space left"])
            assert "Exception ignored" not in outcome.stderr


def test_there_are_as_many_as_were_meant():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
