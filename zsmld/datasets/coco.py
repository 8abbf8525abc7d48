"""COCO: `annotations/instances_{train,val}{2014,2017}.json` and the images in `train2017/` and the like.

An image has the labels of its instances. Crowds count (a crowd of people shows people), as in COCO's multi-label
convention, in which every annotation of an image does; an image without any annotation is kept, with no label true.
The photographs of val are the test images, as everywhere: the labels of COCO's own test images are not public.

The seen and unseen labels are those of Bansal et al., "Zero-Shot Object Detection" (ECCV 2018, arXiv 1804.04340): 48
and 17 of the 80 categories. Training images that show an unseen label stay in: a split file can leave them out.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zsmld import files
from zsmld.datasets.gathering import distinct, gather, images_folder, inside, label_words, placed, split_named
from zsmld.datasets.json_stream import elements
from zsmld.datasets.layouts import Layout, ReadOptions
from zsmld.datasets.records import Dataset, ImageRecord
from zsmld.errors import InputError

# The authors' lists (mscoco_seen_classes.json and mscoco_unseen_classes.json), in the order of COCO's categories.
SEEN = (
    "person", "bicycle", "car", "motorcycle", "train", "truck", "boat", "bench", "bird", "horse", "sheep", "bear",
    "zebra", "giraffe", "backpack", "handbag", "suitcase", "frisbee", "skis", "kite", "surfboard", "bottle", "fork",
    "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "pizza", "donut", "chair", "bed",
    "toilet", "tv", "laptop", "mouse", "remote", "microwave", "oven", "toaster", "refrigerator", "book", "clock",
    "vase", "toothbrush",
)  # fmt: skip
UNSEEN = (
    "airplane", "bus", "cat", "dog", "cow", "elephant", "umbrella", "tie", "snowboard", "skateboard", "cup", "knife",
    "cake", "couch", "keyboard", "sink", "scissors",
)  # fmt: skip

_INSTANCES = re.compile(r"instances_(?P<split>.*?)(?P<year>20\d\d)?\.json", re.IGNORECASE)
# COCO's own test images have no labels; these are the parts that the labelled ones were divided into.
_SPLITS = {"train": "train", "val": "val", "minival": "val", "valminusminival": "train", "test": "test"}
_CONVENTION = "crowds count as their label; images without any annotation are kept, with no label true"


@dataclass
class _Instances:
    """What one file says: images by id, categories by id, and which instance is of which."""

    names: dict[int, tuple[str, int]] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    image_ids: array[int] = field(default_factory=lambda: array("q"))
    category_ids: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))


def recognise(path: Path) -> Layout | None:
    """A folder with `instances_*.json`, itself or in its `annotations`; or one such file."""
    if path.is_dir():
        places = [child for folder in (path, *_named(path, "annotations")) for child in sorted(folder.iterdir())]
        found = [place for place in places if _INSTANCES.fullmatch(place.name) and place.is_file()]
    else:
        found = [path] if path.suffix.lower() == ".json" and _looks_like_instances(path) else []
    if not found:
        return None
    folder = found[0].parent
    root = folder.parent if folder.name.lower() == "annotations" else folder
    parts = _parts_of(found)
    told = [f"{part.path.name}: {part.split or 'its name tells no split, give --split-file'}" for part in parts]
    told += [
        f"no folder {part.folder} below {root}: unpack {part.folder}.zip there, or give --images"
        for part in parts
        if not part.folders_below(root)
    ]
    lists = {"seen": SEEN, "unseen": UNSEEN} if all(part.year for part in parts) else {}
    return Layout(
        "COCO instances", path, (*told, _CONVENTION), lambda options: _read(parts, root, path, options), lists
    )


@dataclass(frozen=True)
class _Part:
    """One file of instances: the folder of its images is called as its name ends."""

    path: Path
    folder: str
    year: str | None
    split: str | None

    def folders_below(self, root: Path) -> list[str]:
        """Where its images can lie, of the places that there are."""
        return [place for place in (self.folder, f"images/{self.folder}") if (root / place).is_dir()]


def _parts_of(found: list[Path]) -> list[_Part]:
    parts = []
    for path in found:
        named = _INSTANCES.fullmatch(path.name)
        if named:
            word, year = named["split"], named["year"]
            parts.append(_Part(path, f"{word}{year or ''}", year, _SPLITS.get(word.lower())))
        else:
            parts.append(_Part(path, path.stem, None, split_named(path.stem)))
    if all(part.split != "test" for part in parts):
        # Nothing else to test on.
        parts = [replace(part, split="test") if part.split == "val" else part for part in parts]
    return parts


def _looks_like_instances(path: Path) -> bool:
    if _INSTANCES.fullmatch(path.name):
        return True
    with files.open_input(path) as stream:
        head = stream.read(1 << 16)
    keys = (b'"images"', b'"annotations"', b'"categories"')
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and any(key in head for key in keys)


def _named(folder: Path, name: str) -> list[Path]:
    """Folders of that name in `folder`, whatever the case."""
    return [child for child in sorted(folder.iterdir()) if child.name.lower() == name and child.is_dir()]


def _read(parts: list[_Part], root: Path, path: Path, options: ReadOptions) -> Dataset:
    years = sorted({part.year or "no year" for part in parts})
    if len(years) > 1:
        raise InputError(
            f"has instances of {' and '.join(years)}, which may share photographs", path=path,
            remedy="Give a folder with one year, or one file.",
        )  # fmt: skip
    base = images_folder(options, root)
    categories: list[str] = []
    return gather(_records(parts, base, options, categories), path, base, options, categories)


def _records(parts: list[_Part], base: Path, options: ReadOptions, categories: list[str]) -> Iterator[ImageRecord]:
    """The images of all parts; `categories` grows by those of each part."""
    first: dict[str, Path] = {}
    for part in parts:
        if part.split is None and options.split_file is None:
            raise InputError("has a name that tells no split", path=part.path, remedy="Give --split-file.")
        instances = read_instances(part.path)
        labels = _labels(instances, part.path)
        categories.extend(instances.categories.values())
        folder = next(iter(part.folders_below(base)), "")
        for number, (name, line) in instances.names.items():
            earlier = first.setdefault(name, part.path)
            if earlier != part.path:
                raise InputError(f"image {name!r} is also in {earlier}", path=part.path, line=line)
            # Some files have the folder in the names.
            image = name if not folder or name.startswith(f"{folder}/") else f"{folder}/{name}"
            yield ImageRecord(image, tuple(labels.get(number, ())), part.split or "train", None, line)


def _labels(instances: _Instances, path: Path) -> dict[int, dict[str, None]]:
    """The names of the categories that each image has instances of, in the order in which they stand."""
    labels: dict[int, dict[str, None]] = {}
    for image, category, line in zip(instances.image_ids, instances.category_ids, instances.lines, strict=True):
        for what, number, known in (("image", image, instances.names), ("category", category, instances.categories)):
            if number not in known:
                raise InputError(f"an annotation is of {what} {number}, which is not there", path=path, line=line)
        labels.setdefault(image, {})[instances.categories[category]] = None
    return labels


def read_instances(path: Path) -> _Instances:
    """Read one file of instances, element by element.

    Raises:
        InputError: not JSON, a key missing or of the wrong type, an id or a category's name twice, or no images, no
            annotations or no categories at all.
    """
    instances = _Instances()
    takers = {"images": _take_image, "annotations": _take_annotation, "categories": _take_category}
    seen = set()
    for key, position, value, line in elements(path):
        if key in takers:
            seen.add(key)
            with placed(path, line):
                if not isinstance(value, dict):
                    raise InputError(f"{key}[{position}] is no object")
                takers[key](instances, value, f"{key}[{position}]", line)
    for key in takers:
        if key not in seen:
            raise InputError(f"has no {key}", path=path, remedy="Expected instances_*.json of COCO.")
    with placed(path, None):
        distinct(instances.categories.values(), "categories")
    return instances


def _take_image(instances: _Instances, value: dict[str, Any], where: str, line: int) -> None:
    number, name = _number(value, "id", where), _text(value, "file_name", where)
    if number in instances.names:
        raise InputError(f"{where} has the id {number}, as an image before it has")
    instances.names[number] = (inside(name), line)


def _take_annotation(instances: _Instances, value: dict[str, Any], where: str, line: int) -> None:
    instances.image_ids.append(_number(value, "image_id", where))
    instances.category_ids.append(_number(value, "category_id", where))
    instances.lines.append(line)


def _take_category(instances: _Instances, value: dict[str, Any], where: str, line: int) -> None:  # noqa: ARG001
    number = _number(value, "id", where)
    if number in instances.categories:
        raise InputError(f"{where} has the id {number}, as a category before it has")
    instances.categories[number] = label_words([_text(value, "name", where)])[0]


def _number(value: dict[str, Any], key: str, where: str) -> int:
    number = value.get(key)
    if type(number) is not int or abs(number) >= 2**63:
        raise InputError(f"{where} has {key} {number!r}, expected a whole number")
    return number


def _text(value: dict[str, Any], key: str, where: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise InputError(f"{where} has {key} {text!r}, expected a text")
    return text
