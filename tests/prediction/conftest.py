"""A folder in which permissions count, whoever runs the tests."""

import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def unprivileged():
    """A folder of a user who is not root: for root no folder is unreadable."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        if os.geteuid():
            yield path
            return
        os.chown(path, 65534, 65534)
        os.seteuid(65534)
        try:
            yield path
        finally:
            os.seteuid(0)
