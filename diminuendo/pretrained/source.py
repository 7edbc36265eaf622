"""From what ``teacher.pretrained`` says to a folder on this machine."""

from __future__ import annotations

from pathlib import Path

from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.pretrained.folder import READ, TERMS, CheckpointFolder

BUNDLES = Path(".work/bundles")  # where bundles of torchaudio are kept as folders


def locate(config: PretrainedConfig, fetch: bool = True) -> Path:
    """The checkpoint's folder.

    Args:
        fetch: a hub's files, or a bundle's, are fetched if they are not on this machine.
    Raises:
        UserError: it is not there, and cannot be fetched; the message says what to do.
    """
    if config.hub is not None:
        return _of_hub(config.hub, config.revision, fetch)
    if config.bundle is not None:
        from diminuendo.pretrained.bundle import folder_of_bundle

        return folder_of_bundle(config.bundle, BUNDLES, fetch)
    return Path(config.path)


def _of_hub(repository: str, revision: str, fetch: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = {"repo_id": repository, "revision": revision, "allow_patterns": [*READ, *TERMS, "*.safetensors"]}
    try:
        found = Path(snapshot_download(**wanted, local_files_only=True))
        CheckpointFolder(found)  # one that was fetched in part is fetched again
        return found
    except (LocalEntryNotFoundError, UserError):
        pass
    remedy = (
        f"where there is a network run `hf download {repository} --revision {revision} --local-dir FOLDER`, bring the "
        "folder here, and name it as teacher.pretrained.path"
    )
    if not fetch:
        raise UserError(f"{repository} at {revision[:12]}: not on this machine; {remedy}")
    try:
        return Path(snapshot_download(**wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(f"{repository} at {revision[:12]}: cannot be fetched ({reason}); {remedy}") from None
