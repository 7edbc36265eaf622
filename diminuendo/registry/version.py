"""Versions of a registered model, read from MLflow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diminuendo.artifact.external_data import check_data, files_of
from diminuendo.artifact.external_data import is_whole as is_whole_file
from diminuendo.artifact.lineage import MODEL
from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file, move_in_place, sha256_of
from diminuendo.registry.store import existing_store, no_store
from diminuendo.signing import NAME, Policy, text_of

CHAMPION, CHALLENGER = "champion", "challenger"
LOGGED = "models:/"  # followed by the id of a logged model: the source of our versions
CLONES = ".work/reproduce"  # where `diminuendo reproduce --keep` leaves them
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow gives the second for a missing alias

# Tags of a version.
DIGEST, MEMBER, CORPUS, WER, CER, UNIT, BYTES = "digest", "member", "corpus", "wer", "cer", "unit", "bytes"
NORMALIZER = "normalizer"  # that the error rates are of; none before there was a choice
COMMIT, DIRTY, GIT_TAG = "git.commit", "git.dirty", "git.tag"
GATE_RUN, DECISION = "gate.run", "gate.decision"
PROMOTED, REPLACES, WHY, FORCED = "promoted", "promoted.replaces", "promoted.reason", "forced"
WITHDRAWN, REASON = "withdrawn", "withdrawn.reason"


class NotWhole(UserError):
    """The artifact store has lost or damaged a file that MLflow knows of."""


@dataclass(frozen=True)
class Version:
    """One version of a registered model. ``created``: milliseconds since the epoch; ``run``: which made the model."""

    name: str
    version: str
    digest: str
    member: str
    corpus: str
    created: int
    aliases: tuple[str, ...] = ()
    run: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"models:/{self.name}/{self.version}"

    @property
    def gate_run(self) -> str | None:
        return self.tags.get(GATE_RUN)

    @property
    def git_commit(self) -> str | None:
        return self.tags.get(COMMIT)

    @property
    def git_tag(self) -> str | None:
        return self.tags.get(GIT_TAG)

    @property
    def error_rate(self) -> tuple[str, float] | None:
        """``wer`` or ``cer``, whichever the gate used, and its value; None if no tag has it."""
        name = CER if self.tags.get(UNIT) == "characters" else WER
        return (name, float(self.tags[name])) if name in self.tags else None

    @property
    def withdrawn(self) -> bool:
        return WITHDRAWN in self.tags

    def as_dict(self) -> dict[str, Any]:
        own = ("name", "version", "digest", "member", "corpus", "created", "run")
        return {
            **{key: getattr(self, key) for key in own},
            "aliases": list(self.aliases),
            "address": self.address,
            "tags": dict(sorted(self.tags.items())),
        }

    def download(self, folder: Path) -> Path:
        """``folder/<digest>.onnx``, with its bytes checked; an intact copy that is there already is used.

        Weights that it does not hold itself are in a file beside it.

        Raises:
            NotWhole: the file in the store is not the one that was registered.
            UserError: the store does not answer.
        """
        target = folder / f"{self.digest}.onnx"
        if not is_whole_file(target, self.digest):
            save_model(self.address, self.digest, target)
        return target

    def signature(self) -> str | None:
        """The text of its signature; None if it has none. Nothing of it is checked, see ``admit``."""
        with tempfile.TemporaryDirectory() as folder, _artifacts(self.address) as repository:
            try:
                if NAME not in {Path(file.path).name for file in repository.list_artifacts("")}:
                    return None
                path = Path(repository.download_artifacts(NAME, dst_path=folder))
            except OSError as error:
                raise NotWhole(f"{self.address}: its {NAME} cannot be read ({error.strerror})") from None
            return text_of(path)

    def admit(self, policy: Policy) -> str | None:
        """Its signature, if the policy lets it be shipped; whether the store has its bytes is another question.

        Raises:
            Untrusted: it is not signed, or its signature does not hold, or is of another file.
            UserError: the store does not answer.
        """
        text = self.signature()
        policy.admit(text, self.digest, self.address, f"`diminuendo sign {self.name}/{self.version} --key PRIVATE`")
        return text


def save_model(address: str, digest: str, target: Path) -> None:
    """Write the ``model.onnx`` of an MLflow model to ``target`` if its digest is the expected one.

    The file with its weights, if there is one, comes to lie beside it, under the name that it has.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: large files do not belong in /tmp, and the last step is a rename.
    # Named as other temporary files are: the next command that writes there removes what a killed one left.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp") as folder:
        path = _download(address, MODEL, folder)
        found = sha256_of(path)
        if found != digest:
            raise NotWhole(
                f"{address}: damaged in the artifact store: its SHA-256 is {found[:12]}…, registered was "
                f"{digest[:12]}…; build it again (`diminuendo reproduce --keep {digest[:12]}` names a clone below "
                f"{CLONES} and leaves the file there, as models/NAME/{MODEL}) and promote that file"
            )
        for beside in files_of(path)[1:]:
            _download(address, beside.name, folder)
            try:
                check_data(path)
            except UserError as error:
                raise NotWhole(f"{address}: damaged in the artifact store: {error}") from None
            move_in_place(beside, target.with_name(beside.name))
        with atomic_file(target) as temporary:
            os.replace(path, temporary)


def is_whole(version: Version) -> bool:
    """Whether the artifact store still has the bytes that were registered."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            version.download(Path(folder))
        except NotWhole:
            return False
    return True


def _download(address: str, name: str, folder: str) -> Path:
    with _artifacts(address) as repository:
        from mlflow.exceptions import MlflowException

        try:
            return Path(repository.download_artifacts(name, dst_path=folder))
        except (OSError, MlflowException) as error:
            reason = str(error).splitlines()[0][:300]
            raise NotWhole(f"{address}: its {name} cannot be read from the artifact store ({reason})") from error


@contextmanager
def _artifacts(address: str) -> Iterator[Any]:
    """The files of an MLflow model."""
    with existing_store() as client:
        if client is None:
            raise no_store()
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        yield get_artifact_repository(address, tracking_uri=client.tracking_uri)


def champion(name: str) -> Version | None:
    """The version that is served, None if nothing was promoted yet.

    Raises:
        UserError: there is a store and it does not answer.
    """
    with existing_store() as client:
        return None if client is None else aliased(client, name, CHAMPION)


def versions(name: str) -> list[Version]:
    """All versions, newest first; empty if there is no such model or no store."""
    with existing_store() as client:
        return [] if client is None else all_versions(client, name)


def aliased(client: Any, name: str, alias: str) -> Version | None:
    """The version with this alias, None if there is none."""
    version = _aliases(client, name).get(alias)
    return None if version is None else numbered(client, name, version)


def numbered(client: Any, name: str, version: str) -> Version | None:
    """The version of this number, None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(client.get_model_version(name, version), _aliases(client, name))
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise


def all_versions(client: Any, name: str, digest: str | None = None) -> list[Version]:
    """Newest first; with ``digest`` only those of this file."""
    condition = f"name = '{name}'" + (f" AND tags.`{DIGEST}` = '{digest}'" if digest else "")
    found, token = [], None
    while True:
        page = client.search_model_versions(condition, page_token=token)
        found += page
        if not (token := page.token):
            break
    aliases = _aliases(client, name)
    return [_version(one, aliases) for one in sorted(found, key=lambda one: int(one.version), reverse=True)]


def _aliases(client: Any, name: str) -> dict[str, str]:
    """Alias to version number; MLflow omits the aliases of a version that was found by search or number."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code in ABSENT:
            return {}
        raise
    return {alias: str(version) for alias, version in found.items()}


def _version(found: Any, aliases: Mapping[str, str]) -> Version:
    tags = dict(found.tags)
    return Version(
        name=found.name,
        version=str(found.version),
        digest=tags.get(DIGEST, ""),
        member=tags.get(MEMBER, ""),
        corpus=tags.get(CORPUS, ""),
        created=int(found.creation_timestamp),
        aliases=tuple(sorted(alias for alias, version in aliases.items() if version == str(found.version))),
        run=found.run_id or None,
        tags=tags,
    )
