"""Prompt templates of CLIP text towers: named sets, files of one's own, and what a template must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from zsmld import files
from zsmld.errors import InputError, nearest

Templates = str | Path | Sequence[str]

DEFAULT = "photo"


def _ours() -> tuple[str, ...]:
    text = resources.files("zsmld.labels").joinpath("templates", "photo.txt").read_text("utf-8")
    return _parsed(text, None)


def _of_imagenet(name: str) -> tuple[str, ...]:
    import open_clip

    return tuple(template("{}") for template in getattr(open_clip, name))


# Name → what it is, and the templates. The ensembles of CLIP come from open_clip, which has them as published.
TEMPLATE_SETS: dict[str, tuple[str, Callable[[], tuple[str, ...]]]] = {
    "photo": ("seven of our own, for several things in one photograph; the default", _ours),
    "plain": ("the label alone", lambda: ("{}",)),
    "clip": ("the one of Radford et al. 2021, section 3.1.4", lambda: ("a photo of a {}.",)),
    "scene": ("the one of MKT, He et al., AAAI 2023", lambda: ("There is a {} in the scene",)),
    "imagenet-7": (
        "the seven that Radford et al. found best on ImageNet",
        lambda: _of_imagenet("SIMPLE_IMAGENET_TEMPLATES"),
    ),
    "imagenet-80": ("their whole ensemble of eighty", lambda: _of_imagenet("OPENAI_IMAGENET_TEMPLATES")),
}


def read_templates(given: Templates | None = None) -> tuple[str, ...]:
    """Prompt templates, each with exactly one `{}`.

    Args:
        given: the name of a set, a file with one a line (blank lines and lines that start with # are passed over), or
            templates; None for the default set.

    Raises:
        InputError: neither a set nor a file; no template, or one without exactly one `{}`.
    """
    if given is None or (isinstance(given, str) and given in TEMPLATE_SETS):
        return TEMPLATE_SETS[given or DEFAULT][1]()
    if isinstance(given, (str, Path)):
        path = files.expanded(given)
        if isinstance(given, str) and not path.exists():
            remedy = nearest(given, TEMPLATE_SETS) or f"The sets are {', '.join(TEMPLATE_SETS)}."
            raise InputError("no such file, and no template set of that name", path=path, remedy=remedy)
        return _parsed(files.read_text(path), path)
    for template in given:
        _check(template)
    if not given:
        raise InputError("no templates given, expected at least one such as 'a photo of a {}.'")
    return tuple(given)


def _parsed(text: str, path: Path | None) -> tuple[str, ...]:
    templates = []
    for number, line in enumerate(text.splitlines(), start=1):
        template = line.strip()
        if template and not template.startswith("#"):
            _check(template, path, number)
            templates.append(template)
    if not templates:
        raise InputError("holds no template, expected one a line such as 'a photo of a {}.'", path=path)
    return tuple(templates)


def _check(template: str, path: Path | None = None, line: int | None = None) -> None:
    if template.count("{}") != 1:
        problem = f"template {template!r} has {template.count('{}')} places for the label, expected one {{}}"
        raise InputError(problem, path=path, line=line)
