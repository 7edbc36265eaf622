"""From what ``pretrained`` says to a folder on this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.pretrained.folder import CONVERT_OTHERS, PICKLES, READ, TERMS, CheckpointFolder, NotAtHand

BUNDLES = Path(".work/bundles")  # where bundles of torchaudio are kept as folders


def at_hand(config: PretrainedConfig, root: Path = Path()) -> Path | None:
    """The checkpoint's folder on this machine, which may lack files; None: there is none.

    Args:
        root: of the repository, from which paths are seen.
    """
    if config.hub is not None:
        return _kept_by_hub(config.hub, config.revision)
    folder = root / (BUNDLES / config.bundle if config.bundle is not None else config.path)
    return folder if os.path.isdir(folder) else None  # unlike pathlib's, it does not fail for a path that is too long


def locate(config: PretrainedConfig, fetch: bool = True, root: Path = Path()) -> Path:
    """The checkpoint's folder.

    Args:
        fetch: a hub's files, or a bundle's, are fetched if they are not on this machine.
        root: of the repository, from which paths are seen.
    Raises:
        NotAtHand: it is not there, and was not to be fetched.
        UserError: it is not there, and cannot be fetched; the message says what to do.
    """
    if config.hub is not None:
        return _of_hub(config.hub, config.revision, fetch)
    if config.bundle is not None:
        from diminuendo.pretrained.bundle import folder_of_bundle

        return folder_of_bundle(config.bundle, root / BUNDLES, fetch)
    return root / config.path


def _kept_by_hub(repository: str, revision: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(**_wanted(repository, revision), local_files_only=True))
    except IncompleteSnapshotError as error:
        return Path(error.snapshot_path)
    except (LocalEntryNotFoundError, ValueError):  # ValueError: no name that the hub takes
        return None


def _wanted(repository: str, revision: str) -> dict[str, Any]:
    patterns = [*READ, *TERMS, "model-?????-of-?????.safetensors"]  # not what lies beside, in other precisions
    return {"repo_id": repository, "revision": revision, "allow_patterns": patterns}


def _of_hub(repository: str, revision: str, fetch: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from huggingface_hub.utils import logging

    found = _kept_by_hub(repository, revision)
    if found is not None:
        with suppress(UserError):  # one that was fetched in part is fetched again
            CheckpointFolder(found)
            return found
    remedy = (
        f"where there is a network run `hf download {repository} --revision {revision} --local-dir FOLDER`, bring the "
        "folder here, and name it as pretrained.path"
    )
    if not fetch:
        there = "not on this machine" if found is None else "fetched in part"
        raise NotAtHand(f"{repository} at {revision[:12]}: {there}; {remedy}")
    logging.set_verbosity_error()  # each of its five tries would tell of the missing network in words of its own
    try:
        fetched = Path(snapshot_download(**_wanted(repository, revision)))
        _check_weights(fetched, repository, revision)
        return fetched
    except LocalEntryNotFoundError:
        reason = "no network"
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    raise UserError(f"{repository} at {revision[:12]}: cannot be fetched ({reason}); {remedy}")


def _check_weights(fetched: Path, repository: str, revision: str) -> None:
    """Raises ``UserError`` where the hub has weights of this commit as pickles alone, which were not fetched."""
    from huggingface_hub import list_repo_files
    from huggingface_hub.errors import HfHubHTTPError

    if any(fetched.glob("model*.safetensors*")):
        return
    names = []
    with suppress(HfHubHTTPError, OSError):  # no network: what is missing is said when the folder is opened
        names = list_repo_files(repository, revision=revision)
    pickles = sorted(name for name in names if Path(name).suffix in PICKLES)
    if pickles:
        raise UserError(
            f"{repository} at {revision[:12]}: its weights are a pickle ({pickles[0]}), which is not read, since "
            "loading one can run any code; take a commit with model.safetensors (a pull request to the repository may "
            f"have one), or {CONVERT_OTHERS}, and name it as pretrained.path"
        )
