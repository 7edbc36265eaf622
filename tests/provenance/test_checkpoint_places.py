"""Where the checkpoint of a model is looked for, and how a clone reads it: a folder, DVC, the hub, a bundle."""

from __future__ import annotations

import sys

import pytest
import yaml

from diminuendo.artifact import lineage
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.pretrained.source import locate
from diminuendo.provenance.checkpoint import Beginning, config_of, folders
from diminuendo.provenance.clean_clone import THIS, CleanClone
from diminuendo.provenance.descent import Model, descent_of
from diminuendo.provenance.linked_checkpoint import LinkedCheckpoint
from diminuendo.provenance.places import Places
from diminuendo.provenance.raw_data import DVC, FOLDER, GIT, RawData
from diminuendo.provenance.verify import verify_descent
from tests.factories.checkpoint import change, write_checkpoint
from tests.factories.project import run

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def model_from(folder, **pretrained) -> Model:
    """A teacher that began with what is in the folder now; its own file is nowhere."""
    config = PretrainedConfig(**(pretrained or {"path": str(folder)}))
    facts = {"source": config.source, "licence": "mit", "files": {p.name: sha256_of(p) for p in folder.iterdir()}}
    if config.revision:
        facts["revision"] = config.revision
    parameters = {"pretrained": config.stated, "head": "own"}
    stated = {"code": "k" * 64, "corpus": "c" * 64, "parents": {}, "pretrained": facts}
    return descent_of(lineage.record("train_teacher", "teacher", parameters, **stated), "f" * 64)


@pytest.fixture
def project(tmp_path):
    """A repository whose teacher is the checkpoint in ``checkpoints/tiny`` of it, which git does not have."""
    root = tmp_path / "project"
    write_checkpoint(root / "checkpoints/tiny")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text("data: {}\nteacher: {pretrained: {path: checkpoints/tiny}}\n")
    (root / ".gitignore").write_text("/checkpoints/tiny\n")
    run(root, "git", "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(root, "git", "config", key, value)
    run(root, sys.executable, "-m", "dvc", "init", "-q")
    commit(root)
    return root


def commit(root, *paths):
    run(root, "git", "add", "-A", *paths)
    run(root, "git", "commit", "-qm", "more")
    return run(root, "git", "rev-parse", "HEAD").stdout.strip()


def found_in(root, model, given=None, at=None):
    at = at or run(root, "git", "rev-parse", "HEAD").stdout.strip()
    return Beginning(Places(root), model, given, say=lambda _line: None).at(at)


def test_a_folder_is_found_by_the_parameters_and_checked(project):
    model = model_from(project / "checkpoints/tiny")
    assert config_of(model).path == "tiny"
    raw = found_in(project, model)
    assert (raw.kind, raw.value, raw.is_checked) == (FOLDER, str(project / "checkpoints/tiny"), True)
    change(project / "checkpoints/tiny/config.json", further=1)
    expected = r"checkpoints/tiny \(named by params.yaml .*\): 1 of 6 files changed \(first: config.json\)"
    with pytest.raises(UserError, match=expected):
        found_in(project, model)


def test_a_folder_of_another_family_will_do_where_its_files_are_these(project):
    model = model_from(project / "checkpoints/tiny")
    (project / "checkpoints/tiny").rename(project.parent / "tiny")
    (project / "params").mkdir()
    (project / "params/x.yaml").write_text("teacher: {pretrained: {path: ../tiny}}\n")
    assert found_in(project, model).value == str(project.parent / "tiny")
    (project / "params/x.yaml").write_text("teacher: {pretrained: {path: ../other}}\n")
    with pytest.raises(UserError, match="is not at hand: checkpoints/tiny"):
        found_in(project, model)


def clone_at(root, model, commit, folder):
    raw = {"teacher.pretrained": found_in(root, model, at=commit)}
    clone = CleanClone(Places(root), commit, raw, folder, THIS)
    clone.make(say=lambda _line: None)
    return clone, LinkedCheckpoint(model, raw["teacher.pretrained"], clone.root)


def test_the_version_that_git_has_is_that_of_the_commit(project, tmp_path):
    model = model_from(project / "checkpoints/tiny")
    (project / ".gitignore").unlink()
    first = commit(project)
    change(project / "checkpoints/tiny/config.json", further=1)
    second = commit(project)
    assert found_in(project, model, at=first).kind == GIT
    with pytest.raises(UserError, match="1 of 6 files changed"):
        found_in(project, model, at=second)
    clone, linked = clone_at(project, model, first, tmp_path / "again")
    linked.make()
    assert sha256_of(clone.root / linked.folder / "config.json") == model.checkpoint.facts["files"]["config.json"]


def test_the_version_that_dvc_tracks_is_brought_into_the_clone_and_verified(project, tmp_path):
    model = model_from(project / "checkpoints/tiny")
    run(project, sys.executable, "-m", "dvc", "add", "-q", "checkpoints/tiny")
    first = commit(project)
    for path in (project / "checkpoints/tiny").iterdir():
        path.unlink()
    assert found_in(project, model, at=first).kind == DVC
    clone, linked = clone_at(project, model, first, tmp_path / "again")
    linked.make()
    assert sha256_of(clone.root / linked.folder / "config.json") == model.checkpoint.facts["files"]["config.json"]


def test_what_could_not_be_checked_before_is_checked_in_the_clone(project, tmp_path):
    model = model_from(project / "checkpoints/tiny")
    change(project / "checkpoints/tiny/config.json", further=1)
    for is_checked in (True, False):
        raw = RawData(DVC, str(project / "checkpoints/tiny"), "params.yaml", is_checked=is_checked)
        linked = LinkedCheckpoint(model, raw, tmp_path)
        if is_checked:
            linked.make()
            continue
        with pytest.raises(
            UserError, match=r"not what the model began with: 1 of 6 files changed.*--checkpoint FOLDER"
        ):
            linked.make()


def test_a_record_that_names_a_file_elsewhere_makes_no_link_there(project, tmp_path):
    model = model_from(project / "checkpoints/tiny")
    model.record["pretrained"]["files"]["../../outside"] = "0" * 64
    raw = RawData(FOLDER, str(project / "checkpoints/tiny"), "params.yaml", is_checked=True)
    with pytest.raises(UserError, match=r"outside of the checkpoint's folder: '\.\./\.\./outside'"):
        LinkedCheckpoint(model, raw, tmp_path / "clone").make()
    assert not list(tmp_path.glob("clone/**/outside"))


def test_parameters_of_the_clone_read_the_links_whatever_path_they_had(project, tmp_path):
    model = model_from(project / "checkpoints/tiny")
    linked = LinkedCheckpoint(model, found_in(project, model), tmp_path)
    raw = {"teacher": {"pretrained": {"path": "../far/away/tiny", "licence": "mit"}, "head": "ctc"}, "seed": 1}
    changed = linked.named_in(raw)
    own = f".work/checkpoint/{model.checkpoint.digest[:12]}/tiny"
    assert changed["teacher"]["pretrained"] == {"path": own, "licence": "mit"}
    assert PretrainedConfig(**changed["teacher"]["pretrained"]).source == "tiny" and changed["seed"] == 1
    for other in (
        {"teacher": {"pretrained": {"path": "other"}}},
        {"teacher": {"architecture": {}}},
        {"teacher": {"pretrained": {"hub": "a/b"}}},
        {"teacher": None},
        {},
    ):
        assert linked.named_in(other) == other


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub/models--someone--small/snapshots" / COMMIT


def verified(project, model):
    return [(f.status, f.detail) for f in verify_descent(model, Places(project)) if "checkpoint" in f.what]


def test_a_commit_of_the_hub_is_in_its_cache_and_in_the_clones(project, hub, tmp_path, monkeypatch):
    from huggingface_hub import constants

    write_checkpoint(hub)
    model = model_from(hub, hub="someone/small", revision=COMMIT)
    assert verified(project, model) == [("whole", "")]
    assert [folder for folder, _ in folders(Places(None), model)] == [hub]
    raw = found_in(project, model)
    assert (raw.value, raw.by, raw.is_checked) == (str(hub), "the hub's cache", True)
    linked = LinkedCheckpoint(model, raw, tmp_path / "clone")
    linked.make()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", linked.surroundings["HF_HUB_CACHE"])
    config = PretrainedConfig(hub="someone/small", revision=COMMIT)
    assert locate(config, fetch=False) == tmp_path / "clone" / linked.folder
    assert linked.named_in({"teacher": {"pretrained": {"hub": "someone/small"}}})["teacher"]["pretrained"] == {
        "hub": "someone/small"
    }
    change(hub / "config.json", further=1)
    assert [status for status, _ in verified(project, model)] == ["damaged"]
    with pytest.raises(UserError, match=r"the hub's cache .*: not what teacher began with: 1 of 6 files changed"):
        found_in(project, model)


def test_a_commit_of_the_hub_that_is_not_here_is_asked_for_or_given_as_a_folder(project, hub, tmp_path):
    folder = write_checkpoint(tmp_path / "downloaded")
    model = model_from(folder, hub="someone/small", revision=COMMIT)
    ((status, detail),) = verified(project, model)
    assert status == "not at hand" and f"`hf download someone/small --revision {COMMIT}` fetches it" in detail
    expected = (
        rf"the checkpoint someone/small at {COMMIT[:12]} is not at hand: .*cannot be fetched.*--checkpoint FOLDER"
    )
    with pytest.raises(UserError, match=expected):
        found_in(project, model)
    raw = found_in(project, model, given=folder)
    assert (raw.value, raw.by) == (str(folder), "--checkpoint")


def test_a_bundle_is_where_the_repository_keeps_bundles(project, tmp_path):
    folder = project / ".work/bundles/HUBERT_BASE"
    write_checkpoint(folder)
    model = model_from(folder, bundle="HUBERT_BASE")
    assert verified(project, model) == [("whole", "")]
    raw = found_in(project, model)
    assert (raw.value, raw.is_checked) == (str(folder), True)
    linked = LinkedCheckpoint(model, raw, tmp_path / "clone")
    linked.make()
    found = locate(PretrainedConfig(bundle="HUBERT_BASE"), fetch=False, root=tmp_path / "clone")
    assert {path.name for path in found.iterdir()} == set(model.checkpoint.facts["files"])
    folder.rename(tmp_path / "away")
    ((status, detail),) = verified(project, model)
    assert status == "not at hand" and "not in .work/bundles" in detail


def test_dvcs_copy_is_hashed_too(project):
    """The record of the teacher is in the project, so its parameter file speaks of this very checkpoint."""
    model = model_from(project / "checkpoints/tiny")
    folder = project / "models/teacher"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"a model")
    lineage.write_record(folder, {**model.record, "format": 2, "ancestors": {}, "corpora": {}})
    model = descent_of({**model.record, "ancestors": {}, "corpora": {}}, sha256_of(folder / "model.onnx"))
    run(project, sys.executable, "-m", "dvc", "add", "-q", "checkpoints/tiny")
    assert verified(project, model) == [("whole", "")] * 2
    listed = yaml.safe_load((project / "checkpoints/tiny.dvc").read_text())["outs"][0]["md5"]
    objects = project / ".dvc/cache/files/md5"
    (objects / listed[:2] / listed[2:]).unlink()
    assert ("missing", "the list of files that its .dvc file names is not in DVC's cache") in verified(project, model)
