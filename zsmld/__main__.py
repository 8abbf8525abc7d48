"""`python -m zsmld` is `zsmld`."""

import sys

from zsmld.cli import run

if __name__ == "__main__":
    sys.exit(run())
