"""Recordings that were switched in, and a commit made after the run: where its data and its parameters are found."""

from __future__ import annotations

import shutil
import sys

import pytest

from diminuendo.artifact.code import Scope, code_digest
from diminuendo.core.files import sha256_of
from diminuendo.parameters import load_params
from diminuendo.provenance.clean_clone import THIS, CleanClone
from diminuendo.provenance.places import Places
from diminuendo.provenance.raw_data import FOLDER, GIT, locate
from diminuendo.provenance.reproduce import commits_of
from diminuendo.provenance.store import Run, _scope, scope_tags
from diminuendo.provenance.target import model_of
from diminuendo.provenance.trace import trace
from tests.factories.commands import command
from tests.factories.project import run
from tests.factories.switched import PARAMS, commit_results, make_switched_project

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Run and committed; all that the tests below change they change in copies."""
    place = tmp_path_factory.mktemp("switched")
    commit = commit_results(make_switched_project(place))
    return place, commit


@pytest.fixture
def place(built, tmp_path):
    """A copy of the project and its recordings."""
    shutil.copytree(built[0], tmp_path / "place", symlinks=True)
    return tmp_path / "place"


def switch_back(project):
    """The family of the commands again, of which nothing was run; the cache and the commits know the voices."""
    for name in ("models", "data/prepared", "dvc.lock"):
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(project, "git", "rm", "-q", "--cached", "dvc.lock")
    run(project, "git", "checkout", "-q", "HEAD~1", "--", "params.yaml")
    run(project, "git", "commit", "-qm", "the commands again")


def located(project, digest, commit, **more):
    places = Places(project)
    return locate(places, model_of(digest, places).corpus, commit, **more)["data.path"]


def test_recordings_that_were_switched_in_give_the_same_bytes_from_the_commit_after_the_run(built, project):
    digest = sha256_of(project / "models/teacher/model.onnx")
    switch_back(project)
    status, said = command("reproduce", digest, "--environment", "this")
    assert status == 0, said
    assert f"the same bytes again, from commit {built[1][:12]}" in said
    assert "taken from the file's lineage" not in said  # they are those of the commit
    assert "the code of" not in said


def test_the_run_of_a_corpus_says_what_its_code_covers(built, project):
    places, without = Places(project), load_params(project / "params.yaml").teacher.unused_code
    model, told = model_of("teacher", places), []
    assert without  # a teacher of its own reads no checkpoint
    scope, code = Scope("prepare", without), code_digest("prepare", without=without)
    assert _scope("prepare", scope_tags(scope)) == scope
    for own in (scope, Scope("prepare")):
        made = Run("1", "prepare", "FINISHED", built[1], False, code, 0, (), scope=own)
        assert next(commits_of([model], places, {model.corpus.digest: made}, told.append)) == built[1]
    (note,) = told  # of the one that says nothing
    assert "the code of prepare is not that of commit" in note


def test_the_commit_after_the_run_comes_before_the_one_that_the_run_noted(built, project):
    run(project, "git", "commit", "-q", "--allow-empty", "-m", "something else of the same code")
    places = Places(project)
    model = model_of("teacher", places)
    before = run(project, "git", "rev-parse", "HEAD~2").stdout.strip()
    noted = Run("1", "teacher", "FINISHED", before, True, model.record["code"], 0, ())
    assert next(commits_of([model], places, {model.digest: noted})) == built[1]
    assert trace(model, places).found[model.digest].commit == built[1]


def test_before_the_commit_the_lock_file_of_the_working_tree_says_where_the_recordings_are(place, project):
    run(project, "git", "reset", "-q", "HEAD~1")
    run(project, "git", "checkout", "-q", "params.yaml")
    head = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    found = located(project, "teacher", head)
    assert (found.kind, found.value, found.by, found.is_checked) == (FOLDER, str(place / "speech"), "dvc.lock", True)


def test_mlflow_says_where_recordings_were_that_no_lock_file_names(place, project):
    digest = sha256_of(project / "models/teacher/model.onnx")
    shutil.copy(project / "models/teacher/model.onnx", place / "shipped.onnx")
    switch_back(project)
    run(project, "git", "reset", "-q", "--hard", "HEAD~2")  # no commit names the voices any more
    run(project, "git", "reflog", "expire", "--expire=now", "--all")
    (project / "params.yaml").touch()
    places = Places(project)
    model = model_of(str(place / "shipped.onnx"), places)
    assert model.digest == digest
    head = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    folders = {"data.path": "../../speech", "data.collected": "corpora/collected"}
    made = Run("1", "prepare", "FINISHED", head, True, None, 0, (), folders)
    found = locate(places, model.corpus, head, made)
    assert found["data.path"].value == str(place / "speech") and "MLflow" in found["data.path"].by
    assert (found["data.collected"].kind, found["data.collected"].value) == (GIT, "corpora/collected")
    status, said = command("reproduce", str(place / "shipped.onnx"), "--environment", "this")
    assert status == 2 and "../not-here (named by params/voices.yaml" in said and "--data FOLDER" in said
    assert not (project / ".work/reproduce").exists()


def test_recordings_that_were_moved_are_asked_for_and_taken_from_where_the_user_says(built, place, project):
    (place / "speech").rename(place / "moved")
    status, said = command("reproduce", "teacher", "--environment", "this")
    assert status == 2 and "../../speech (named by dvc.lock) is not there" in said and "--data FOLDER" in said
    found = located(project, "teacher", built[1], given={"data.path": place / "moved"})
    assert (found.kind, found.value, found.is_checked) == (FOLDER, str(place / "moved"), True)
    (place / "moved/train-003.wav").unlink()
    (place / "moved/test.jsonl").write_text("")
    for folder, expected in (
        ("moved", "1 of 27 files missing (first: train-003.wav), 1 of 27 files changed (first: test.jsonl)"),
        ("nowhere", "no such folder"),
    ):
        status, said = command("reproduce", "teacher", "--environment", "this", "--data", str(place / folder))
        assert status == 2 and expected in said and said.count("error: ") == 1
    assert not (project / ".work/reproduce").exists()


def test_of_several_claims_the_one_with_the_files_is_taken(place, project):
    """The folder that the lock file names has other recordings now; a parameter file names the right ones."""
    (place / "speech").rename(place / "home/recordings")
    shutil.copytree(place / "home/recordings", place / "speech")
    (place / "speech/train-000.wav").write_bytes((place / "speech/train-001.wav").read_bytes())
    head = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    assert located(project, "teacher", head).changed == ("train-000.wav",)
    text = (project / PARAMS).read_text()
    (project / PARAMS).write_text(text.replace("path: ../not-here", "path: ../recordings"))
    found = located(project, "teacher", head)
    assert found.value == str(place / "home/recordings") and found.is_checked and not found.changed


def test_manifests_that_git_has_without_their_audio_are_read_where_the_audio_is(built, place, project):
    digest = sha256_of(project / "models/teacher/model.onnx")
    shutil.move(place / "speech", project / "speech")
    text = (project / PARAMS).read_text()
    (project / PARAMS).write_text(text.replace("path: ../not-here", "path: speech"))
    run(project, "git", "add", PARAMS, *(f"speech/{split}.jsonl" for split in ("train", "dev", "test")))
    run(project, "git", "commit", "-qm", "the manifests")
    head = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    found = located(project, digest, head)
    assert (found.kind, found.value, found.is_checked) == (FOLDER, str(project / "speech"), True)
    run(project, "git", "add", "-f", "speech")
    run(project, "git", "commit", "-qm", "and the audio")
    head = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    found = located(project, digest, head)
    assert (found.kind, found.value, found.is_checked) == (GIT, "speech", True)


@pytest.fixture(scope="module")
def beside(built, tmp_path_factory):
    """The voices as a family of its own, run and committed, beside the commands, of which nothing was run."""
    place = tmp_path_factory.mktemp("beside") / "place"
    shutil.copytree(built[0], place, symlinks=True)
    project = place / "home/project"
    switch_back(project)
    text = (project / PARAMS).read_text()
    (project / PARAMS).write_text(text.replace("path: ../not-here", "path: ../../speech"))
    imports = "from flows.side_pipeline import write_pipeline; from diminuendo.family import current"
    family = {"DIMINUENDO_PARAMS": PARAMS, "DIMINUENDO_TRACKING": "off"}
    run(project, sys.executable, "-c", f"{imports}; write_pipeline(current())", **family)
    run(project, sys.executable, "-m", "dvc", "repro", "families/voices/dvc.yaml:train_teacher", **family)
    run(project, "git", "add", PARAMS, "families")
    run(project, "git", "commit", "-qm", "two families")
    return place, run(project, "git", "rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def families(beside, tmp_path, monkeypatch):
    shutil.copytree(beside[0], tmp_path / "place", symlinks=True)
    monkeypatch.chdir(tmp_path / "place/home/project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "place/home/project"


def test_a_model_of_a_side_family_is_built_from_its_own_parameters(beside, families, tmp_path):
    places = Places(families)
    model = model_of("voices/teacher", places)
    assert model == model_of("teacher", places) == model_of(model.digest[:8], places)
    assert next(commits_of([model], places, {})) == beside[1]
    found = trace(model, places).found
    assert found[model.digest].folder == "families/voices/models/teacher" and found[model.digest].cached
    assert found[model.digest].entry.home == found[model.corpus.digest].entry.home == "families/voices"
    raw = locate(places, model.corpus, beside[1])
    assert raw["data.path"].by == "families/voices/dvc.lock" and raw["data.path"].is_checked
    clone = CleanClone(places, beside[1], raw, tmp_path / "again", THIS)
    clone.make(say=lambda _line: None)
    said = []
    clone.set_parameters(model.chain(), model.corpora(), said.append)
    assert said == [] and str(tmp_path / "place/speech") in (clone.root / "params.yaml").read_text()
    assert clone.prepare(said.append) == model.corpus.digest
    assert "Running stage 'prepare':" in said
    assert not [line for line in said if "git" in line or "dvc " in line or "lock file" in line or not line]


def test_the_whole_project_is_all_of_its_families(families, tmp_path):
    status, said = command("verify")
    assert status == 0 and "DVC's cache, train_teacher of families/voices" in said and "not at hand" not in said
    home = families / "families/voices"
    for path in (
        home / "models/teacher/summary.json",
        home / "data/prepared/tokens.json",
        tmp_path / "place/speech/dev-000.wav",
    ):
        path.rename(tmp_path / "away")
        status, said = command("verify")
        assert status == 1 and path.name in said
        (tmp_path / "away").rename(path)
    shutil.move(home / "data/prepared", tmp_path)
    status, said = command("verify")
    assert status == 1 and "missing     families/voices/data/prepared" in said
