"""Photographs and a small tower for the tests of what keeps tokens; makes `small_tower` importable."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def backbone():
    from small_tower import small_backbone

    return small_backbone()


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:02d}.jpg" for number in range(20)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)).resize((40, 30)).save(path)
    return paths
