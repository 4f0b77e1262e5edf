"""Models on the Hugging Face hub, or on another server that speaks as it does (HF_ENDPOINT): hf://user/name@revision.

Fetching and the cache are huggingface_hub's (extra `hub`): a model that was fetched once is there without a network
too. What comes is a safetensors file, which holds numbers and JSON and runs no code; it is checked like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vqcodec.errors import ModelError, SettingsError

FILE, CARD = "model.safetensors", "README.md"
"""The files of a model on the hub."""
# As a path, hf://user/name is hf:/user/name.
_PREFIX = re.compile(r"hf:/{1,2}")
_NAME = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w.][\w./-]*))?")


class Address(NamedTuple):
    """A model on the hub: `user/name`, and a branch, tag or commit, None for the newest."""

    repository: str
    revision: str | None


def is_address(model: str) -> bool:
    """Return whether a model is meant to be on the hub."""
    return _PREFIX.match(model) is not None


def address_of(model: str) -> Address:
    """Return the parts of hf://user/name@revision, with or without its beginning; SettingsError where it is none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    match = _NAME.fullmatch(_PREFIX.sub("", model, count=1))
    if match is None:
        raise SettingsError(f"{model!r} names no model on the hub; write hf://user/name or hf://user/name@revision")
    try:
        validate_repo_id(match["repository"])
    except HFValidationError as error:
        raise SettingsError(f"{model!r} names no model on the hub: {error}") from error
    return Address(match["repository"], match["revision"])


def fetch(model: str) -> Path:
    """Return the local copy of a model on the hub, fetched unless the cache has it; ModelError where neither can be."""
    from huggingface_hub import hf_hub_download

    repository, revision = address_of(model)
    with _one_sentence(f"hf://{repository}" + (f"@{revision}" if revision else "")):
        return Path(hf_hub_download(repository, FILE, revision=revision))


def push(path: Path, card: str, model: str, private: bool) -> str:
    """Put a model file and its card on the hub, into a new repository where there is none; return the commit's address.

    ModelError where the server does not take it.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    repository, revision = address_of(model)
    hub = HfApi()
    files = [CommitOperationAdd(FILE, path), CommitOperationAdd(CARD, card.encode())]
    with _one_sentence(f"hf://{repository}"):
        hub.create_repo(repository, private=private, exist_ok=True)
        made = hub.create_commit(repository, files, commit_message="A model of vqc", revision=revision)
    return f"hf://{repository}@{made.oid}"


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Say in one sentence what huggingface_hub says in many ways."""
    from huggingface_hub import errors, utils

    # Each time that it asks again it says why; what counts is the end.
    utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{name} is only for those who were let in; ask its owner, and log in with hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{name} does not exist or is private; check the name, or log in with hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{name} does not exist, but other revisions of it do; check the revision") from error
    except errors.LocalEntryNotFoundError as error:
        raise ModelError(f"{name} is not in the cache, and its server cannot be reached; try again later") from error
    except errors.EntryNotFoundError as error:
        raise ModelError(f"{name} holds no {FILE}, so it is no model of vqc") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else "no"
        said = "log in with hf auth login" if code in (401, 403) else "try again later"
        raise ModelError(f"the server of {name} answers with status {code}; {said}") from error
    # A server that is not there: what raises then is of the library that huggingface_hub's own error derives from.
    except errors.HfHubHTTPError.__bases__ as error:  # type: ignore[misc]
        raise ModelError(f"the server of {name} cannot be reached ({error}); try again later") from error
