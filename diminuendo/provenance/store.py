"""Ancestry in MLflow: which run made a digest, and where its models are. No store is ever created here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.artifact.code import Scope
from diminuendo.artifact.external_data import files_of
from diminuendo.core.extras import how_to_install, is_installed
from diminuendo.tracking.address import local_path
from diminuendo.tracking.digests import OF_ARTIFACT, in_model_tag
from diminuendo.tracking.store import open_existing, shown_uri, store_trouble

_VERSIONS = ("python", "unicode", "torch", "onnxruntime", "cpus")
_COVERS = "code.covers"
_FOLDERS = ("data.path", "data.collected")


@dataclass(frozen=True)
class Run:
    """An MLflow run that made a result."""

    id: str
    name: str
    status: str
    commit: str | None
    dirty: bool  # whether tracked files differed from the commit
    code: str | None  # digest of the code, of ``scope``
    started: int  # ms since the epoch
    made_with: tuple[tuple[str, str], ...]  # versions, and how many processors
    folders: dict[str, str] = field(default_factory=dict, compare=False)  # a corpus's ``data.path``, ``data.collected``
    scope: Scope = field(default_factory=lambda: Scope("prepare"))

    @property
    def covered(self) -> dict[Scope, str]:
        """What ``code`` covers, and the digest; empty where the run does not say."""
        return {self.scope: self.code} if self.code else {}


def scope_tags(scope: Scope) -> dict[str, str]:
    """The tags of a run that say what its ``code`` covers."""
    covers = {"stage": scope.stage, "without": scope.without, "kinds": scope.kinds}
    return {_COVERS: json.dumps(covers, sort_keys=True)}


def _scope(name: str, tags: Mapping[str, str]) -> Scope:
    """What ``scope_tags`` told; of a run of an earlier version, which told nothing, all of the stage that it names."""
    try:
        told = json.loads(tags[_COVERS])
        return Scope(told["stage"], tuple(told["without"]), None if told["kinds"] is None else tuple(told["kinds"]))
    except (KeyError, TypeError, ValueError):
        return Scope(name)


@dataclass(frozen=True)
class KeptFile:
    """A file or folder in MLflow's keeping; ``expected`` as ``tracking.digests`` notes it, None if it was not noted."""

    what: str
    path: Path
    expected: str | None


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(token)
        yield from page
        if not (token := page.token):
            return


class Store:
    """The tracking store, if there is one; ``notes`` receives the reason if it does not answer."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    @property
    def is_there(self) -> bool:
        return self._store is not None

    def runs(self, digests: list[str]) -> dict[str, Run]:
        """Output digest to the newest run that made it."""
        store = self._store
        if store is None:
            return {}
        client, experiment = store
        found = {}
        for digest in digests:
            newest = ["attributes.start_time DESC"]
            for run in client.search_runs([experiment], f"tags.output = '{digest}'", max_results=1, order_by=newest):
                tags = run.data.tags
                found[digest] = Run(
                    id=run.info.run_id,
                    name=run.info.run_name,
                    status=run.info.status,
                    commit=tags.get("mlflow.source.git.commit"),
                    dirty=tags.get("git.dirty") == "true",
                    code=tags.get("code"),
                    started=run.info.start_time,
                    made_with=tuple((key, tags[key]) for key in _VERSIONS if key in tags),
                    scope=_scope(run.info.run_name, tags),
                    folders={key: run.data.params[key] for key in _FOLDERS if key in run.data.params},
                )
        return found

    def logged_models(self, beginning: str) -> Iterator[tuple[str, Path]]:
        """Digest and file of every copy of the models in MLflow with this prefix; remote files are fetched."""
        if self._store is None:
            return
        from mlflow.artifacts import download_artifacts

        client, experiment = self._store
        for model in _pages(lambda token: client.search_logged_models([experiment], page_token=token)):
            digest = model.tags.get("digest", "")
            if digest.startswith(beginning):
                address = f"{model.artifact_location}/{lineage.MODEL}"
                try:
                    path = Path(download_artifacts(artifact_uri=address))
                    for beside in files_of(path)[1:]:
                        if not beside.is_file():  # of a store that is not a folder
                            place = f"{model.artifact_location}/{beside.name}"
                            download_artifacts(artifact_uri=place, dst_path=str(path.parent))
                    yield digest, path
                except Exception:  # each kind of store raises its own
                    yield digest, local_path(address) or Path(address)

    def kept_files(self) -> Iterator[KeptFile]:
        """Every file that MLflow keeps on a disk here, of models and of runs that are not deleted."""
        if self._store is None:
            return
        client, experiment = self._store
        for model in _pages(lambda token: client.search_logged_models([experiment], page_token=token)):
            folder, noted = local_path(model.artifact_location), in_model_tag(model.tags)
            if folder is None or str(model.status) != "READY":
                continue
            what = f"MLflow's model {model.name} {model.model_id}"
            stated = {lineage.MODEL: model.tags["digest"]} if "digest" in model.tags else {}
            unnoted = {path.name: None for path in folder.glob("*") if path.is_file()} if noted is None else {}
            for name, digest in {**unnoted, **(noted or {}), **stated}.items():
                yield KeptFile(what, folder / name, digest)
        for run in _pages(lambda token: client.search_runs([experiment], page_token=token)):
            folder = local_path(run.info.artifact_uri)
            if folder is None:
                continue
            noted = {
                key.removeprefix(OF_ARTIFACT): digest
                for key, digest in run.data.tags.items()
                if key.startswith(OF_ARTIFACT)
            }
            unnoted = () if noted else (path for path in folder.rglob("*") if path.is_file())
            everything = {path.relative_to(folder).as_posix(): None for path in unnoted} | noted
            for name, digest in everything.items():
                yield KeptFile(f"MLflow's artifact of {run.info.run_name}", folder / name, digest)

    @cached_property
    def _store(self) -> Any:
        try:
            store = open_existing()
            if store is None or store[1] is None:
                reason = "is not there" if store is None else "has no runs of this project"
                self.notes.append(f"MLflow: {shown_uri()} {reason}; MLFLOW_TRACKING_URI names another store")
                return None
            store[0].search_runs([store[1]], max_results=1)
            return store
        except ModuleNotFoundError as error:
            if is_installed("mlflow"):  # such as the driver of a database
                self.notes.append(f"MLflow: not looked at: {store_trouble(error)}")
                return None
            self.notes.append(f"MLflow: not installed, so its runs were not looked at; {how_to_install('pipeline')}")
            return None
        except Exception as error:  # without the store, the file still states its ancestry
            self.notes.append(f"MLflow: not looked at: {store_trouble(error)}")
            return None
