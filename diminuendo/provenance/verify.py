"""``diminuendo verify``: are a file and everything it was made from unchanged?

Every copy that can be found is hashed: the file, the folders of the project, the objects of DVC's cache, MLflow's
artifacts, the raw data, the pretrained checkpoint. No model is loaded: bytes are compared with the digests in the
records, and the records with their own digests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diminuendo.artifact import lineage
from diminuendo.artifact.checksum import actual_checksum, stated_checksum
from diminuendo.artifact.external_data import check_data, files_of, mapped
from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.provenance import checkpoint, raw_data
from diminuendo.provenance.descent import Corpus, Model, read_model
from diminuendo.provenance.dvc_cache import DAMAGED, MISSING, WHOLE
from diminuendo.provenance.finding import UNSEEN, Finding
from diminuendo.provenance.history import data_folders, has_stage, parameters_at
from diminuendo.provenance.places import CORPUS, CORPUS_RECORD, MODELS, Places, place_of
from diminuendo.provenance.verify_copies import (
    verify_folder,
    verify_listed,
    verify_objects,
    verify_output,
    verify_prepared,
    verify_tracked,
)
from diminuendo.provenance.verify_state import verify_database, verify_locks, verify_mlflow_files, verify_single_files


def verify_file(path: Path, places: Places, done: set[str] | None = None) -> Iterator[Finding]:
    """A shipped file, and every copy of its ancestry; digests in ``done`` were checked already."""
    what = f"file {path.name}"
    try:
        with mapped(path) as content:
            stated = stated_checksum(content)
            is_it = stated is not None and stated == actual_checksum(content)
    except OSError as error:
        yield Finding(MISSING, what, str(path), f"cannot be read: {error.strerror}")
        return
    if not is_it:
        reason = "it carries no checksum" if stated is None else "it does not match its own checksum"
        yield Finding(DAMAGED, what, str(path), f"{reason}: not a file of diminuendo, or a damaged one")
        return
    yield Finding(WHOLE, what, str(path), f"sha256 {sha256_of(path)[:12]}")
    yield from _weights(path, what)
    is_in_project = places.model_folder(sha256_of(path)) == path.parent.resolve()
    if path.name == lineage.MODEL and (path.parent / lineage.RECORD).is_file() and not is_in_project:
        yield from verify_folder(path.parent, f"model {path.parent.name}")
    try:
        model = read_model(path)
    except UserError as error:
        yield Finding(DAMAGED, what, str(path), str(error))
        return
    yield from verify_descent(model, places, done)


def _weights(path: Path, what: str) -> Iterator[Finding]:
    """The file beside a shipped file that has its weights; nothing if it holds them itself."""
    files: list[Path] = []
    try:
        files = files_of(path)[1:]
        check_data(path)
    except UserError as error:
        missing = any(not file.is_file() for file in files)
        yield Finding(MISSING if missing else DAMAGED, f"weights of {what}", str(path), str(error))
        return
    yield from (Finding(WHOLE, f"weights of {what}", str(file)) for file in files)


def verify_descent(model: Model, places: Places, done: set[str] | None = None) -> Iterator[Finding]:
    """The models and corpora of a tree, the model itself among them."""
    done = set() if done is None else done
    if not done:  # DVC's copies cannot be found by way of these
        for path in places.unreadable_files:
            yield Finding(DAMAGED, "DVC's file", str(path), "not readable as YAML; `git checkout` it")
    for corpus in model.corpora():
        if corpus.digest not in done:
            done.add(corpus.digest)
            yield from _corpus(corpus, places)
    for begun in model.chain():
        if begun.checkpoint is not None and begun.checkpoint.digest not in done:
            done.add(begun.checkpoint.digest)
            yield from _checkpoint(begun, places)
    for ancestor in model.chain():
        if ancestor.digest not in done:
            done.add(ancestor.digest)
            yield from _model(ancestor, places, is_given=ancestor is model and model.path is not None)


def verify_project(places: Places) -> Iterator[Finding]:
    """Every model of the project with its ancestry, the evaluation and the reports, and the state of DVC and MLflow."""
    yield from verify_database()  # before it is opened
    done: set[str] = set()
    families = [places.folder_of(home) for home in places.homes]
    folders = [path for own in families for path in sorted((own / MODELS).glob("*")) if path.is_dir()]
    if not folders:
        raise UserError(f"{places.project / MODELS}: no models; run `make repro`, or `dvc checkout` if they were made")
    for folder in folders:
        path = folder / lineage.MODEL
        yield from verify_file(path, places, done) if path.is_file() else verify_folder(folder, f"model {folder.name}")
    locked, elsewhere = places.locked_now(), families_made_elsewhere(places)
    for home in elsewhere:
        detail = f"nothing that its dvc.lock names is here, nor in DVC's cache; {repro(Path(home) / MODELS)} makes it"
        yield Finding(UNSEEN, f"family {Path(home).name or 'of params.yaml'}", str(places.project / home), detail)
    parameters = {home.place: parameters_at(places.project, None, home.parameters) for home in places.homes}
    for entry in locked:
        folder = places.place_of(entry)
        path = places.shown(folder)
        if entry.home in elsewhere:
            continue
        if not folder.exists() and not has_stage(parameters.get(entry.home, {}), entry.stage):
            detail = "it was taken out of the parameters, and DVC keeps what dvc.lock said of it"
            yield Finding(UNSEEN, path, str(folder), detail)
        elif not folder.exists():
            is_kept = places.cache.object(entry.md5).exists()
            remedy = "`dvc checkout` brings it back" if is_kept else f"{repro(path, entry.stage)} makes it"
            yield Finding(MISSING, path, str(folder), f"dvc.lock names it; {remedy}")
        elif entry.path in ("evaluation", "reports"):
            yield from verify_folder(folder, path)
            files = places.cache.listing(entry.md5)
            if files is None:
                state = places.cache.state(entry.md5)
                yield Finding(state, path, str(places.cache.object(entry.md5)), "the list of files in DVC's cache")
            else:
                yield from verify_objects(files, path, f"DVC's cache, {entry.stage}", places)
    yield from verify_locks(places)
    yield from verify_single_files(places)
    yield from verify_mlflow_files(places)


def families_made_elsewhere(places: Places) -> list[str]:
    """Homes of families of which nothing is here, no output and no object, as in a fresh clone."""
    locked = places.locked_now()
    here = {e.home for e in locked if places.place_of(e).exists() or places.cache.object(e.md5).exists()}
    return sorted({entry.home for entry in locked} - here)


def _model(model: Model, places: Places, is_given: bool) -> Iterator[Finding]:
    (place, product), seen = place_of(model), False
    what = f"{'model' if product == lineage.MODEL else 'texts'} {model.name} {model.digest[:12]}"
    # By name too: a damaged record no longer says which digest it belongs to.
    folder = places.model_folder(model.digest) or places.unreadable_record(place)
    if folder is not None:
        seen = True
        yield from verify_folder(folder, what, model.digest)
    is_it = places.has_digest(model.digest)
    for finding in verify_output(place, product, is_it, what, places, folder):
        seen = True
        yield finding
    for path in places.logged_files(model.digest):
        seen = True
        if not path.is_file():
            yield Finding(MISSING, what, str(path), "MLflow names it")
        elif sha256_of(path) != model.digest:
            yield Finding(DAMAGED, what, str(path), "MLflow's artifact has another digest")
        else:
            yield Finding(WHOLE, what, str(path), "MLflow")
            yield from _weights(path, what)
    if not seen:
        detail = "nothing but its own checksum vouches for it" if is_given else "no copy of it"
        yield Finding(UNSEEN, what, "", f"{detail}: not in the project, DVC's cache or MLflow")


def _checkpoint(model: Model, places: Places) -> Iterator[Finding]:
    """The pretrained checkpoint that a model began with: its folder, and DVC's copy where DVC tracks that."""
    begun, files = model.checkpoint, model.checkpoint.facts["files"]
    what, seen = f"checkpoint {begun.source} {begun.digest[:12]}", False
    for folder, is_its_own in checkpoint.folders(places, model):
        found = list(verify_listed(folder, files, what, f"{folder} ({len(files)} files)"))
        if is_its_own or not any(finding.is_bad for finding in found):  # another family's may be another version
            seen = True
            yield from found
            break
    for value, objects in checkpoint.tracked(places, model):
        seen = True
        if objects:
            yield from verify_tracked(files, objects, what, f"DVC's cache, {value} ({len(files)} files)")
        else:
            yield Finding(MISSING, what, value, "the list of files that its .dvc file names is not in DVC's cache")
    if not seen:
        yield Finding(UNSEEN, what, "", checkpoint.remedy(model))


def _corpus(corpus: Corpus, places: Places) -> Iterator[Finding]:
    what = f"corpus {corpus.digest[:12]}"
    folder = places.corpus_folder(corpus.digest) or places.unreadable_record(CORPUS, CORPUS_RECORD)
    if folder is not None:
        yield from verify_prepared(folder, corpus, what)
    is_it = places.is_corpus(corpus.digest)
    cached = list(verify_output(CORPUS, CORPUS_RECORD, is_it, what, places, folder))
    yield from cached
    if folder is None and not cached:
        yield Finding(UNSEEN, what, "", "no copy of it: not in the project or DVC's cache")
    content = places.raw_files(corpus.digest, corpus.raw)
    if content is None:
        yield Finding(UNSEEN, f"raw data of {what}", "", f"their list ({lineage.RAW}) is not at hand, or damaged")
    else:
        yield from _raw(content, what, places, corpus.digest)


def _raw(content: dict[str, Any], what: str, places: Places, corpus: str) -> Iterator[Finding]:
    """The raw files of a corpus: in their folders, if a family's corpus is this one, and in DVC's cache."""
    label, stored = f"raw data of {what}", places.stored_corpus(corpus)
    commit = stored.entry.commit if stored else None
    home = places.corpus_home(corpus)
    said = stored.entry.parameters if stored else parameters_at(places.project, None, home.parameters) if home else {}
    for parameter, files in content["files"].items():
        place, looked = f"{parameter} ({len(files)} files)", False
        folders = raw_data.current_folders(places, corpus, parameter)
        # None of them is there: the folder has moved.
        if folder := next((own for own in folders if any((own / name).exists() for name in files)), None):
            looked = True
            yield from verify_listed(folder, files, label, f"{folder} ({len(files)} files)")
        value = data_folders(said).get(parameter)
        tracked = raw_data.tracked(places, value, commit) if value else None
        if tracked:
            looked = True
            yield from verify_tracked(files, tracked, label, f"DVC's cache, {place}")
        elif tracked is not None and commit is None:
            looked = True
            yield Finding(MISSING, label, place, "the list of files that its .dvc file names is not in DVC's cache")
        if not looked:
            yield Finding(UNSEEN, label, place, "not where dvc.lock and the parameters say, nor in DVC's cache")
