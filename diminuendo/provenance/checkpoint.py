"""Where the pretrained checkpoint that a model began with is, and whether it has changed since.

A record names its source and the digest of each file, not where a folder lies: the same folder elsewhere is the same
checkpoint. The location comes from ``dvc.lock`` or from a parameter file; a hub's files are in its cache, a bundle's in
the repository. Each of them is only a claim, and is checked against the digests in the record.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from diminuendo.config.names import TEACHER
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.core.extras import how_to_install, is_installed
from diminuendo.pretrained import source
from diminuendo.pretrained.folder import CONFIG
from diminuendo.provenance import raw_data
from diminuendo.provenance.descent import Model
from diminuendo.provenance.dvc_cache import Entry
from diminuendo.provenance.history import checkpoint_folders, parameters_at
from diminuendo.provenance.homes import homes_at
from diminuendo.provenance.places import Places
from diminuendo.provenance.raw_data import FOLDER, RawData, at_hand, compared, digest_in, lock_of, told

OPTION = "--checkpoint"


def parameter_of(model: Model) -> str:
    """The dotted key that names the checkpoint of a model that began with one."""
    return f"{TEACHER if model.stage == 'train_teacher' else f'{model.stage}.{model.name}'}.pretrained"


def config_of(model: Model) -> PretrainedConfig:
    """What its ``pretrained`` said, with the last part of a folder's path alone.

    Raises:
        UserError: the record does not say it.
    """
    try:
        return PretrainedConfig.model_validate(model.record["parameters"]["pretrained"])
    except (KeyError, ValidationError):
        raise UserError(
            f"{model.name} {model.digest[:12]}: its record does not say what kind of checkpoint it began with"
        ) from None


def folder_at_hand(places: Places, model: Model) -> Path | None:
    """The first folder of the name whose description is the checkpoint's; its weights are not hashed."""
    described = model.checkpoint.facts["files"].get(CONFIG)
    with suppress(UserError):  # a record that does not say what it is still tells its descent
        return next((own for own, _ in folders(places, model) if digest_in(places, own, CONFIG) == described), None)
    return None


@dataclass(frozen=True)
class Claim:
    """A value of ``pretrained.path`` that may name the checkpoint, seen from the project.

    Attributes:
        by: who says so.
        commit: as of which; None: the working tree.
        is_its_own: it is said of this very model, and not of another that began with a folder of the name.
    """

    value: str
    by: str
    commit: str | None
    is_its_own: bool


def folders(places: Places, model: Model) -> Iterator[tuple[Path, bool]]:
    """Folders on this machine that may be the checkpoint, and whether the model is said to come from there now."""
    config, root = config_of(model), places.project
    if config.path is None:
        if config.hub is not None and not is_installed("huggingface_hub"):
            places.note(f"the hub's cache: not looked at; to look there, {how_to_install('train')}")
            return
        folder = source.at_hand(config, root or Path())
        if folder is not None and (root is not None or config.hub is not None):
            yield folder, True
        return
    for claim in claims(places, model):
        folder = root / claim.value
        if any((folder / name).exists() for name in model.checkpoint.facts["files"]):
            yield folder, claim.is_its_own and claim.commit is None


def claims(places: Places, model: Model, commit: str | None = None) -> Iterator[Claim]:
    """Who says where a folder lies, the most reliable first, each value once.

    Of parameter files, those of ``commit`` among them, it is those that name a folder of its name.
    """
    seen = set()
    for claim in _all_claims(places, model, commit):
        if claim.value not in seen:
            seen.add(claim.value)
            yield claim


def _all_claims(places: Places, model: Model, commit: str | None) -> Iterator[Claim]:
    if places.project is None:
        return
    parameter = parameter_of(model)
    for entry in _entries(places, model):
        if value := checkpoint_folders(entry.parameters).get(parameter):
            yield Claim(value, lock_of(entry), entry.commit, True)
    made = places.model_folder(model.digest)  # models/NAME of the family that has it
    own = {home.parameters for home in places.homes if made and made.parents[1] == places.folder_of(home)}
    files = [(commit, home.parameters) for home in homes_at(places.project, commit)] if commit else []
    files += [(None, home.parameters) for home in places.homes]
    files += [(None, f"params/{path.name}") for path in sorted(places.project.glob("params/*.yaml"))]
    for at, file in files:
        by = file + (f" of commit {at[:12]}" if at else "")
        for key, value in checkpoint_folders(parameters_at(places.project, at, file)).items():
            if posixpath.basename(posixpath.normpath(value)) == model.checkpoint.facts["source"]:
                yield Claim(value, by, at, at is None and file in own and key == parameter)


def _entries(places: Places, model: Model) -> Iterator[Entry]:
    """What every ``dvc.lock`` says of this very model: now, then in commits."""
    folder = places.model_folder(model.digest)
    if folder is not None and (entry := places.locked(folder)):
        yield entry
    if (stored := places.stored_model(model)) is not None:
        yield stored.entry
        yield from places.cache.commits_with(stored.entry.path, stored.entry.md5)


def tracked(places: Places, model: Model) -> Iterator[tuple[str, dict[str, Path]]]:
    """Folders that are said to be this model's checkpoint and that DVC tracks, with the object of each file.

    There are none if the list of files is not in DVC's cache.
    """
    if config_of(model).path is None:
        return
    for claim in claims(places, model):
        objects = raw_data.tracked(places, claim.value, claim.commit) if claim.is_its_own else None
        if objects or (objects is not None and claim.commit is None):
            yield claim.value, objects


def remedy(model: Model) -> str:
    """Where it was looked for in vain, and what brings it here."""
    config = config_of(model)
    if config.hub is not None:
        return f"not in the hub's cache; `hf download {config.hub} --revision {config.revision}` fetches it"
    if config.bundle is not None:
        return f"not in {source.BUNDLES}; `make repro` fetches it, as does a stage that reads it"
    return (
        f"no folder {config.source} with its files where dvc.lock and the parameters say, nor in DVC's cache; bring it "
        f"there, or name its place as {parameter_of(model)}.path"
    )


def chosen_for(places: Places, models: Iterable[Model], given: Sequence[Path]) -> dict[str, Path]:
    """Digest of a checkpoint to the folder that the user names for it, for all models that are built again.

    Args:
        given: folders, in any order.
    Raises:
        UserError: a folder is not what any of the models, or of their ancestors, began with.
    """
    begun = {m.checkpoint.digest: m for model in models for m in model.chain() if m.checkpoint is not None}
    chosen: dict[str, Path] = {}
    for folder in given:
        wrong = {digest: _wrong_with(places, m, folder) for digest, m in begun.items()}
        fitting = [digest for digest, reason in wrong.items() if reason is None]
        if not fitting and max(len(begun), len(given)) > 1:
            if not folder.is_dir():
                raise UserError(f"{OPTION} {folder}: no such folder")
            reasons = ", nor what ".join(f"{begun[key].name} began with ({reason})" for key, reason in wrong.items())
            raise UserError(f"{OPTION} {folder}: not what {reasons}; give the folders that are")
        chosen |= dict.fromkeys(fitting or begun, folder)
    return chosen


def beginnings(
    places: Places, models: list[Model], chosen: Mapping[str, Path], say: Callable[[str], None]
) -> dict[str, Beginning]:
    """Parameter to where its checkpoint is found, for every model of these ancestries that began with one.

    Args:
        chosen: see :func:`chosen_for`; what is not there is searched.
    Raises:
        UserError: see :class:`Beginning`.
    """
    begun = {parameter_of(m): m for model in models for m in model.chain() if m.checkpoint is not None}
    return {key: Beginning(places, m, chosen.get(m.checkpoint.digest), say) for key, m in begun.items()}


def _wrong_with(places: Places, model: Model, folder: Path) -> str | None:
    """Why a folder is not what a model began with; None: it has the very files."""
    wanted = model.checkpoint.facts["files"]
    missing, changed = compared(wanted, lambda name: digest_in(places, folder, name))
    return told(missing, changed, wanted) if missing or changed else None


class Beginning:
    """Finds the checkpoint of a model for the clones that build it again.

    Args:
        given: the folder that the user names.
        say: receives one line of text at a time.
    Raises:
        UserError: it is not at hand, or is not what the model began with. Nothing was cloned or installed yet.
    """

    def __init__(self, places: Places, model: Model, given: Path | None, say: Callable[[str], None]) -> None:
        self.places, self.model, self.config = places, model, config_of(model)
        self.wanted: Mapping[str, str] = model.checkpoint.facts["files"]
        self._fixed = None
        if given is not None:
            self._fixed = self._checked(given, OPTION)
        elif self.config.path is None:
            place = "the hub's cache" if self.config.hub else str(source.BUNDLES)
            self._fixed = self._checked(self._fetched(say), place)

    def at(self, commit: str) -> RawData:
        """The folder that a clone at this commit should read.

        Raises:
            UserError: it is not at hand as it was.
        """
        if self._fixed is not None:
            return self._fixed
        looked = []
        for claim in claims(self.places, self.model, commit):
            said = f"{claim.value} (named by {claim.by})"
            problem = f"{said} is not there"
            for kind, digest in at_hand(self.places, claim.value, commit):
                place = str((self.places.project / claim.value).resolve()) if kind == FOLDER else claim.value
                if digest is None:
                    return RawData(kind, place, claim.by)
                missing, changed = compared(self.wanted, digest)
                if not missing and not changed:
                    return RawData(kind, place, claim.by, is_checked=True)
                problem = f"{said}: {told(missing, changed, self.wanted)}"
            looked.append(problem)
        raise self._not_at_hand("; ".join(looked) or "neither a dvc.lock nor a parameter file says where it is")

    def _fetched(self, say: Callable[[str], None]) -> Path:
        root = self.places.project
        if (folder := source.at_hand(self.config, root)) is not None:
            return folder
        say(f"{parameter_of(self.model)}: {self.config.source} is not on this machine; fetching it")
        try:
            return source.locate(self.config, root=root)
        except UserError as error:
            raise self._not_at_hand(str(error)) from None

    def _checked(self, folder: Path, by: str) -> RawData:
        if not folder.is_dir():
            raise UserError(f"{by} {folder}: no such folder; expected that of the checkpoint {self.config.source}")
        missing, changed = compared(self.wanted, lambda name: digest_in(self.places, folder, name))
        if missing or changed:
            raise UserError(
                f"{by} {folder}: not what {self.model.name} began with: {told(missing, changed, self.wanted)}; give "
                f"the folder that is: {OPTION} FOLDER"
            )
        return RawData(FOLDER, str(folder.resolve()), by, is_checked=True)

    def _not_at_hand(self, reason: str) -> UserError:
        return UserError(
            f"{parameter_of(self.model)}: the checkpoint {self.model.checkpoint.source} is not at hand: {reason}. "
            f"Name the folder that has it: {OPTION} FOLDER"
        )
