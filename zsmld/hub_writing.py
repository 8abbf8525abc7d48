"""Model repositories of the Hugging Face hub, written to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from zsmld.errors import EnvironmentFailure, UsageError
from zsmld.hub import LOG_IN, bars, told, why_unreachable
from zsmld.hub_names import HubName


def check_writable() -> None:
    """See that the hub answers, and that there is a token to write with.

    Raises:
        EnvironmentFailure: it does not, or there is none.
    """
    from huggingface_hub import constants, get_token

    if reason := why_unreachable(constants.ENDPOINT):
        raise EnvironmentFailure(f"nothing can be sent to the hub: {reason}")
    if get_token() is None:
        raise EnvironmentFailure("there is no token for the hub", remedy=f"{LOG_IN} that may write.")


def commit(repository: str, sent: Mapping[str, Path], *, stale: Collection[str], private: bool, message: str) -> str:
    """Put files into a model repository, which is made where there is none, in one commit.

    Args:
        repository: ORG/NAME.
        sent: the files by their names there.
        stale: names that are removed where they are not among these.
        private: whether a repository that is made is to be so; without it is what its owner has as the default.
        message: of the commit.

    Returns:
        The address of the repository.

    Raises:
        UsageError: no hub name; a repository that is there and is public, and was to be private.
        EnvironmentFailure: the token may not write there, or the network fails.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    with told(HubName(repository)), bars():
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise UsageError(
                f"{repository} is there already, and is public: --private is for a new one",
                remedy="Name another, or make it private on the hub.",
            )
        gone = set(api.list_repo_files(repository)) & set(stale) - set(sent)
        api.create_commit(
            repository,
            [
                *(CommitOperationAdd(name, path) for name, path in sent.items()),
                *(CommitOperationDelete(name) for name in sorted(gone)),
            ],
            commit_message=message,
        )
    return str(url)


def text_in(repository: str, filename: str) -> str | None:
    """A text file of a model repository, as it is on the hub now; None where there is none.

    Raises:
        EnvironmentFailure: it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError

    with told(HubName(repository)), bars():
        try:
            return Path(hf_hub_download(repository, filename)).read_text("utf-8", "replace")
        except (RepositoryNotFoundError, RemoteEntryNotFoundError):
            return None
