"""Makes the second writing of the decoder importable: `reference`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
