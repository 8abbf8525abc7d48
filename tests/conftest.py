"""Fixtures that every test may use; makes `coloured` and `hub_server` importable."""

import sys
from collections.abc import Iterator
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


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """A hub on this machine, which the hub's own client takes for the real one; a cache and a token of its own."""
    from hub_server import TOKEN, Hub
    from huggingface_hub import constants

    server = Hub()
    values = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,  # its servers are others
        "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        "AGENT_HARNESSES_PATH": str(tmp_path / "harnesses.json"),
    }
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.close()
