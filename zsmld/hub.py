"""Files of the Hugging Face hub: weights from its cache without asking, models as they are there now; else an error
within seconds.

The hub's client waits half a minute for a network that is not there; here it is asked first whether it answers.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from zsmld import console
from zsmld.errors import EnvironmentFailure, InputError, UsageError, ZsmldError
from zsmld.hub_names import HubName

_SECONDS_TO_ANSWER = 4.0
LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token"


def repository_of(folder: Path) -> str | None:
    """ORG/NAME where `folder` is a model's in the hub's cache, which is not ours to write to; else None."""
    from huggingface_hub import constants

    cache, place = Path(constants.HF_HUB_CACHE).resolve(), folder.resolve()
    if not place.is_relative_to(cache) or not (parts := place.relative_to(cache).parts):
        return None
    kind, _, repository = parts[0].partition("--")
    return repository.replace("--", "/", 1) if kind == "models" else None


def snapshot(name: HubName, filenames: Sequence[str]) -> Path:
    """The folder of the hub's cache with those of the files that the model has; without the first it is none.

    The hub is asked for the newest of a branch; where it does not answer, what is in the cache will do.

    Raises:
        UsageError: no hub name.
        InputError: the hub has no such model, or no such revision of it.
        EnvironmentFailure: it is not in the cache, and cannot be fetched.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    reason = why_unreachable(constants.ENDPOINT)
    if reason is None:
        console.info(f"asking {constants.ENDPOINT} for {name}")
    with told(name), bars():
        try:
            folder = Path(
                snapshot_download(
                    name.repository, revision=name.revision, allow_patterns=list(filenames),
                    local_files_only=reason is not None,
                )
            )  # fmt: skip
        except LocalEntryNotFoundError as error:
            raise EnvironmentFailure(
                f"{name} is no folder here, and the hub's model of that name is not on this machine and cannot be "
                f"fetched: {reason or first_line(error)}",
                remedy=f"Fetch it where there is network (zsmld pull {name}), or set HF_HOME to a cache that holds it.",
            ) from error
    if not (folder / filenames[0]).exists():
        raise InputError(f"{name} on the hub has no {filenames[0]}: it is no model of zsmld")
    return folder


@contextlib.contextmanager
def told(name: HubName) -> Iterator[None]:
    """What the hub's client raises, of several libraries, as an error that says what to do."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except ZsmldError:
        raise
    except HFValidationError as error:
        raise UsageError(f"{name.repository!r} is no name on the hub: {first_line(error)}") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{name.repository} has no revision {name.revision!r} on the hub") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{name.repository} is neither a folder here nor a model of the hub that may be read",
            remedy=f"Check the name. If it is private: {LOG_IN}.",
        ) from error
    except Exception as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status in (401, 403):
            raise EnvironmentFailure(
                f"the hub refuses {name.repository}: {first_line(error)}", remedy=f"{LOG_IN} that may write there."
            ) from error
        why = first_line(error) + (f" ({first_line(error.__cause__)})" if error.__cause__ else "")
        raise EnvironmentFailure(f"{name.repository}: the hub does not do it: {why}") from error


@contextlib.contextmanager
def bars() -> Iterator[None]:
    """The client's progress bars where there may be some."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    with contextlib.nullcontext() if console.shows_bars() else disable_progress_bars():
        yield


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
