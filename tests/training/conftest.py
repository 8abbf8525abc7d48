"""Makes the generated problem of the loop's tests importable: `small_problem`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
