"""What a model is called on the Hugging Face hub, and how such a name is told from a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zsmld.errors import UsageError

_PREFIX = "hf:"
_PART = r"[A-Za-z0-9_][\w.-]{0,95}"
_NAME = re.compile(rf"(?:{_PREFIX})?(?P<repository>(?P<owner>{_PART})/{_PART})(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class HubName:
    """What a model is called on the hub.

    Attributes:
        repository: ORG/NAME.
        revision: a branch, a tag or a commit; None for the newest.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository + (f"@{self.revision}" if self.revision else "")


def model_name(text: str, folder: Path) -> HubName | None:
    """The model of the hub that `text` names; None where it is a path.

    `hf:ORG/NAME` always names one, `ORG/NAME` where `folder` holds neither such a path nor a folder ORG: a run that is
    misspelt (`runs/0001`) is not asked for on the hub. `@REVISION` may follow.

    Raises:
        UsageError: `hf:` before what is no name.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        if text.startswith(_PREFIX):
            raise UsageError(f"{text!r} is no name on the hub, expected {_PREFIX}ORG/NAME[@REVISION]")
        return None
    if not text.startswith(_PREFIX) and ((folder / text).exists() or (folder / found["owner"]).exists()):
        return None
    return HubName(found["repository"], found["revision"])


def named(text: str) -> HubName:
    """What `text` names on the hub, be there a folder of that name or not.

    Raises:
        UsageError: it is no name.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no name on the hub, expected ORG/NAME")
    return HubName(found["repository"], found["revision"])
