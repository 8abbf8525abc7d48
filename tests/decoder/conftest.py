"""Makes the second writing of the decoder importable, `reference`, and small model folders, `model_folders`."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    from model_folders import make

    return make(tmp_path_factory.mktemp("saved") / "001")


@pytest.fixture
def folder(saved_model, tmp_path):
    """A zero-shot model folder of this test alone."""
    return shutil.copytree(saved_model, tmp_path / "001")
