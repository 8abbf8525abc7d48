"""Files of the Hugging Face hub: from its cache without asking, else fetched, else an error within seconds.

The hub's client waits half a minute for a network that is not there; here it is asked first whether it answers.
"""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from zsmld import console
from zsmld.errors import EnvironmentFailure, InputError, UsageError

_SECONDS_TO_ANSWER = 4.0


def fetched(repository: str, filename: str, *, remedy: str) -> Path:
    """The file `filename` of a hub repository on this machine.

    Args:
        repository: ORG/NAME.
        filename: its path in the repository.
        remedy: what to do with the file where it was fetched by hand.

    Raises:
        UsageError: no hub name.
        InputError: the repository has no such file.
        EnvironmentFailure: not on this machine and not to be fetched.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, filename, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise UsageError(f"{repository!r} is no hub name, expected ORG/NAME: {first_line(error)}") from error
    if reason := why_unreachable(constants.ENDPOINT):
        raise _unfetched(repository, filename, reason, remedy)
    console.info(f"fetching {filename} of {repository}")
    try:
        return Path(hf_hub_download(repository, filename))
    except EntryNotFoundError as error:
        raise InputError(f"{repository} has no {filename}; its other weights would be pickles") from error
    except Exception as error:
        # The hub's client raises errors of several libraries; whatever it was, the file is not here.
        raise _unfetched(repository, filename, first_line(error), remedy) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def why_unreachable(endpoint: str) -> str | None:
    """Why nothing can be fetched from `endpoint`, within seconds; None where it answers."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    # A thread, because a name server that does not answer knows no timeout.
    threading.Thread(target=_ask, args=(endpoint, answers), daemon=True).start()
    try:
        reachable = answers.get(timeout=_SECONDS_TO_ANSWER)
    except queue.Empty:
        reachable = False
    return None if reachable else f"{endpoint} does not answer"


def _ask(endpoint: str, answers: queue.SimpleQueue[bool]) -> None:
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        get_session().head(endpoint, timeout=_SECONDS_TO_ANSWER)
    except Exception:
        # Of whatever library and kind: there was no answer.
        answers.put(False)
    else:
        answers.put(True)


def _unfetched(repository: str, filename: str, reason: str, remedy: str) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"{filename} of {repository} is not on this machine and cannot be fetched: {reason}",
        remedy=f"Fetch https://huggingface.co/{repository}/resolve/main/{filename} on a machine with network and "
        f"{remedy}; or set HF_HOME to a cache that holds it.",
    )
