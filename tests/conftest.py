"""Fixtures that every test may use; makes `coloured` importable."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

# No deadlines for single examples: imports and a busy machine would break them, not the code.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

sys.path.insert(0, str(Path(__file__).parent))
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs, vectors and weights beside the checkout; tests that need them are skipped without."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data is not here")
    return folder
