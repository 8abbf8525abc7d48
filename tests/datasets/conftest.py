"""Makes what the tests of the layouts share importable: `layout_cases`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
