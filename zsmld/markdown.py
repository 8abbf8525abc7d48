"""Words that people chose, as Markdown shows them: labels and file names are text, never markup."""

from __future__ import annotations

import re

# Markdown reads these, and HTML would.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:@$])")


def escaped(text: str) -> str:
    """`text` on one line, with a backslash before whatever is markup in a line, a link or a table cell."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
