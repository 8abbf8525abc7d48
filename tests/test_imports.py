"""Imports run one way: ground floor ← labels, images, datasets ← decoder ← training, evaluation, prediction ← cli."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "zsmld"
TIERS = (
    {"errors", "console", "files", "config", "settings", "tensors", "hub", "memory", "devices", "versions"}
    | {"distributed", "folders", "pages"},
    {"labels", "images", "datasets"},
    {"decoder"},
    {"training", "evaluation", "prediction", "linear"},
    {"cli"},
    {"__init__", "__main__"},
)
TIER = {name: number for number, names in enumerate(TIERS) for name in names}
# These may import each other, but only what the package itself offers.
SIBLINGS = TIERS[3]
# `import zsmld` offers the public functions of every tier, and looks them up when they are first used.
FROM_THE_PACKAGE = {"__version__"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_by(source, here=()):
    """Dotted names below `zsmld` that a module imports; a name imported from a package counts as its child."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join((*here[: len(here) - node.level + 1], node.module or "")) if node.level else node.module
            found |= {f"{base.rstrip('.')}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "zsmld"}


def faults(module, imported):
    """Which of the `imported` dotted names the module (`training.loop`) may not import, and why."""
    home = module.split(".")[0]
    for name in sorted(imported):
        parts = name.split(".")[1:]
        if not parts or parts[0] in FROM_THE_PACKAGE:
            continue
        if parts[0] not in TIER:
            yield f"{module}: {name} is not below the package"
        elif TIER[parts[0]] > TIER[home]:
            yield f"{module}: {name} is above it"
        elif {home, parts[0]} <= SIBLINGS and home != parts[0] and is_inside(parts):
            yield f"{module}: {name} is an inside of {parts[0]}"


def is_inside(parts):
    """Whether `parts` names a module of a package, or something in one, instead of what the package offers."""
    return len(parts) > 2 or (len(parts) == 2 and (PACKAGE / parts[0] / f"{parts[1]}.py").exists())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    here = ("zsmld", *parts[:-1])
    assert parts[0] in TIER, "a new part of the package needs a tier"
    assert not list(faults(".".join(parts), imported_by(path.read_text("utf-8"), here)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from zsmld.labels import vocabulary"),
        ("labels.sources", "import zsmld.decoder.head"),
        ("decoder.model", "def later():\n    from zsmld.training.loop import Trainer"),
        ("training.loop", "from zsmld.evaluation.metrics import average_precision"),
        ("training.loop", "from zsmld.evaluation import metrics"),
        ("training.loop", "from ..evaluation import metrics"),
        ("prediction.tagging", "import zsmld.evaluation.run"),
        ("evaluation.run", "from zsmld import cli"),
        ("datasets.tables", "from zsmld import train"),
    ],
)
def test_the_rule_is_seen_to_be_broken(module, source):
    here = ("zsmld", *module.split(".")[:-1])
    assert list(faults(module, imported_by(source, here)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("training.loop", "from zsmld.evaluation import average_precision"),
        ("labels.sources", "from zsmld.images.opening import open_image"),
        ("decoder.model", "from zsmld import __version__, files"),
        ("cli.train", "from zsmld.training import run"),
        ("training.run", "from zsmld.training.loop import Trainer\nimport torch"),
    ],
)
def test_what_the_rule_admits(module, source):
    here = ("zsmld", *module.split(".")[:-1])
    assert not list(faults(module, imported_by(source, here)))


def test_every_tier_exists():
    there = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert set(TIER) <= there
