"""trace, verify and reproduce over a real family of a minute, as commands and from a file that was copied elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from benchmarks import flips
from diminuendo.cli import main
from diminuendo.core.files import sha256_of
from tests.factories.minute import write_minute_params
from tests.factories.project import run

pytestmark = pytest.mark.timeout(900)  # the first to ask for the pipelines waits for them
CHAIN = ["student-slim-int8", "student-slim", "student", "teacher"]


@pytest.fixture(scope="module")
def project(minute_projects, tmp_path_factory):
    """A copy of the finished repository, committed as a user would."""
    folder = tmp_path_factory.mktemp("provenance") / "repro"
    shutil.copytree(minute_projects / "repro", folder, symlinks=True)
    run(folder, "git", "add", "dvc.lock")
    run(folder, "git", "commit", "-qm", "the family")
    return folder


@pytest.fixture
def command(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # a command of its own process would leave none behind
        return result.exit_code, result.stdout + result.stderr

    return invoke


def digest_of(project: Path, name: str) -> str:
    return sha256_of(project / "models" / name / "model.onnx")


def test_a_file_alone_tells_its_whole_descent(project, command, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped.onnx"
    shutil.copy(project / "models/student-slim-int8/model.onnx", shipped)
    monkeypatch.chdir(tmp_path)
    status, said = command("trace", "shipped.onnx")
    assert status == 0
    for name in CHAIN:
        assert f"{name}  {digest_of(project, name)[:12]}" in said
    corpus = json.loads((project / "data/prepared/corpus.json").read_text())
    assert f"corpus  {corpus['digest'][:12]}  synthetic" in said and "24 utterances" in said
    assert f"list of digest {corpus['files']['sources.json'][:12]}, not at hand" in said
    assert "no project at hand" in said and "MLflow" in said and not (tmp_path / "mlflow.db").exists()


def test_where_the_project_is_at_hand_runs_commits_and_entries_are_named(project, command):
    told = json.JSONDecoder().raw_decode(command("trace", "student-slim-int8", "--json")[1])[0]
    head = run(project, "git", "rev-list", "--max-parents=0", "HEAD").stdout.strip()
    assert [told["models"][digest]["name"] for digest in told["models"]] == CHAIN
    for digest, model in told["models"].items():
        assert digest == digest_of(project, model["name"]) and model["folder"] == f"models/{model['name']}"
        assert model["run"]["commit"] == head and model["commit"] is not None
        assert model["dvc"]["stage"].endswith(model["name"]) or model["name"] == "teacher"
        assert model["dvc"]["cached"]
    (corpus,) = told["corpora"].values()
    assert sorted(corpus["sources"]["files"]["data.path"]) == ["grammar.yaml", "voices.yaml"]
    assert corpus["run"]["name"].startswith("prepare") and corpus["commit"]
    assert corpus["run"]["folders"] == {"data.path": "corpora/home", "data.collected": "corpora/collected"}


@pytest.mark.parametrize("target", ["digest", "beginning", "folder", "member"])
def test_a_model_has_many_names(project, command, target):
    digest = digest_of(project, "student")
    names = {"digest": digest, "beginning": digest[:8], "folder": "models/student", "member": "student"}
    assert json.loads(command("trace", names[target], "--json")[1])["digest"] == digest


def test_an_old_model_is_found_in_the_cache_by_its_digest(project, command, tmp_path):
    digest = digest_of(project, "teacher-lowrank")
    moved = tmp_path / "teacher-lowrank"
    shutil.move(project / "models/teacher-lowrank", moved)
    try:
        status, said = command("trace", digest[:10])
        assert status == 0 and f"teacher-lowrank  {digest[:12]}" in said and "in the cache" in said
    finally:
        shutil.move(moved, project / "models/teacher-lowrank")


def test_what_is_no_model_gets_one_error(project, command, tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")
    for target, expected in (
        ("nothing", "neither a file, nor the digest"),
        ("missing.onnx", "cannot be read"),
        (str(tmp_path / "text.onnx"), "not a model of diminuendo"),
        ("0123456789ab", "no model of this digest"),
    ):
        status, said = command("trace", target)
        assert status == 2 and expected in said and said.count("error: ") == 1


def test_pictures_are_drawn_and_logged_with_the_model(project, command, tmp_path):
    status, said = command("trace", "student-slim-int8", "--mermaid")
    assert status == 0 and said.startswith("flowchart LR") and said.count("-->") == 6
    command("trace", "student-slim-int8", "--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert all(digest_of(project, name) in page for name in CHAIN) and "<script" not in page
    logged = {path.name for path in project.glob("mlartifacts/*/artifacts/ancestry.*")}
    assert logged == {"ancestry.mmd", "ancestry.html"}


def test_a_whole_family_verifies(project, command, tmp_path):
    status, said = command("verify")
    assert status == 0 and "damaged" not in said and "missing" not in said and "not at hand" not in said
    shutil.copy(project / "models/student-slim-int8/model.onnx", tmp_path / "shipped.onnx")
    status, said = command("verify", str(tmp_path / "shipped.onnx"))
    assert status == 0 and said.count("\nwhole") == 16 and "not at hand" not in said
    assert "origin of file shipped.onnx" in said and "names it as models/student-slim-int8" in said


def test_far_from_the_project_a_file_vouches_for_itself_and_the_rest_is_named(project, command, tmp_path, monkeypatch):
    shutil.copy(project / "models/student/model.onnx", tmp_path / "shipped.onnx")
    monkeypatch.chdir(tmp_path)
    status, said = command("verify", "shipped.onnx")
    assert status == 0 and "1 whole, 4 not at hand" in said


SWEPT_HERE = ("dvc.lock", "data/*.json", "mlartifacts/models/*/artifacts/*", ".work/**/training.pt")
KINDS = [
    *(f"models/student/{name}" for name in ("model.onnx", "model.safetensors", "config.json", "history.csv")),
    *(f"models/student/{name}" for name in ("lineage.json", "summary.json")),
    "models/teacher/model.onnx",
    *(f"data/prepared/{name}" for name in ("corpus.json", "tokens.json", "sources.json", "test.jsonl")),
    "data/prepared/audio/train-000.wav",
    "corpora/home/grammar.yaml",
    "mlartifacts/models/*/artifacts/model.onnx",
    "evaluation/metrics.json",
    "evaluation/student/hypotheses.jsonl",
    "evaluation/lineage.json",
    "reports/leaderboard.csv",
]


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_in_the_chain_is_found(project, command, kind, harm):
    for path in sorted(project.glob(kind)):
        with damaged(path, harm):
            status, said = command("verify")
        assert status == 1, path
        bad = [line for line in said.splitlines() if line.startswith(("damaged", "missing"))]
        assert bad and any(path.name in line or str(path.parent.name) in line for line in bad), said


def test_every_object_of_the_cache_is_looked_at(project, command):
    """DVC itself checks a damaged object out without a word."""
    lock = (project / "dvc.lock").read_text()
    folders = [path for path in (project / ".dvc/cache/files/md5").glob("*/*.dir")]
    chain = [path for path in folders if path.parent.name + path.name in lock]
    objects = {path: path.name for path in chain}
    for folder in chain:
        for entry in json.loads(folder.read_text()):
            objects[project / ".dvc/cache/files/md5" / entry["md5"][:2] / entry["md5"][2:]] = entry["relpath"]
    assert len(objects) > 40
    for path in list(objects)[::3]:
        with damaged(path, "flip"):
            status, said = command("verify")
        assert status == 1 and str(path.name) in said, (path, objects[path])


def test_a_list_that_dvc_cannot_find_any_more_is_reported(project, command):
    lock = project / "dvc.lock"
    entry = yaml.safe_load(lock.read_text())["stages"]["distill@student"]["outs"][0]["md5"]
    for text, expected in ((lock.read_text().replace(entry, "f" * 32 + ".dir"), "missing"), ("stages: [", "damaged")):
        before = lock.read_text()
        lock.write_text(text)
        try:
            for arguments in ((), ("models/student/model.onnx",)):
                status, said = command("verify", *arguments)
                assert status == 1 and expected in said
        finally:
            lock.write_text(before)


def test_a_folder_that_is_gone_is_missing_and_no_models_are_an_error(project, command, tmp_path):
    shutil.move(project / "evaluation", tmp_path)
    shutil.move(project / "data/prepared", tmp_path)
    try:
        assert f"missing     data/prepared  {project / 'data/prepared'}" in command("verify")[1]
        shutil.move(tmp_path / "prepared", project / "data")
        status, said = command("verify")
        assert status == 1 and "`dvc checkout` brings it back" in said
        shutil.move(project / "models", tmp_path)
        status, said = command("verify")
        assert status == 2 and "no models; run `make repro`" in said
    finally:
        for name in ("evaluation", "models"):
            if (tmp_path / name).exists():
                shutil.move(tmp_path / name, project)


def test_a_family_that_was_made_on_another_machine_alone_is_no_loss(project, command):
    home, outs = project / "families/far", ("data/index.json", "models/teacher")
    home.mkdir(parents=True)
    try:
        (home / "dvc.yaml").write_text("vars:\n  - ../../params/far.yaml\nstages: {}\n")
        entries = [{"path": name, "md5": f"{index}" * 32} for index, name in enumerate(outs)]
        (home / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"index": {"outs": entries}}}))
        run(project, "git", "add", "-A", "families")
        run(project, "git", "commit", "-qm", "made elsewhere")
        status, said = command("verify")
        assert status == 0 and f"not at hand family far  {home}: nothing that its dvc.lock names is here" in said
        assert "`make repro PARAMS=params/far.yaml` makes it" in said and "missing" not in said
        (home / "data").mkdir()
        (home / "data/index.json").write_text("{}")  # something was made here: the rest of it is lost
        status, said = command("verify")
        assert status == 1 and f"missing     families/far/models/teacher  {home / 'models/teacher'}" in said
    finally:
        shutil.rmtree(project / "families")
        run(project, "git", "reset", "-q", "HEAD~1")


def test_a_flipped_bit_of_any_kind_of_file_is_found_or_harmless(project):
    """The sweep of ``benchmarks/flips.py``, one bit of every kind and more of those that this test alone looks at."""
    flips.add_sealed(project)
    found = flips.sweep(project, 1)
    assert all(found.values()), "a kind of which there is no file"
    found |= flips.sweep(project, 5, 1, tuple(kind for kind in flips.KINDS if kind.pattern in SWEPT_HERE))
    assert not [pattern for pattern, own in found.items() if own[flips.MISSED]]
    assert [pattern for pattern, own in found.items() if own[flips.NOT_COVERED]] in ([], ["mlflow.db"])


class damaged:
    """Harm a file, and put it back."""

    def __init__(self, path: Path, harm: str) -> None:
        self.path, self.harm = path, harm

    def __enter__(self) -> None:
        self.content, self.mode = self.path.read_bytes(), self.path.stat().st_mode
        self.path.unlink()
        if self.harm == "flip":
            middle = len(self.content) // 2
            flipped = bytes([self.content[middle] ^ 1])
            self.path.write_bytes(self.content[:middle] + flipped + self.content[middle + 1 :])
        elif self.harm == "truncate":
            self.path.write_bytes(self.content[:-1])

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(self.content)
        self.path.chmod(self.mode)


def test_a_family_is_built_again_to_the_byte(project, command, monkeypatch):
    """In a clone without results, from code and data alone: three members, on a machine with other cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    status, said = command(
        "reproduce", "student-slim-int8", "teacher-int8", digest_of(project, "student"), "--environment", "this"
    )
    assert status == 0, said
    assert said.count("the same bytes again") == 3
    assert not list((project / ".work").glob("reproduce/*"))


def test_what_cannot_be_built_to_the_byte_is_measured(project, command):
    """Another corpus, as another synthesiser would speak: how far the model is from the one that is asked for."""
    grammar = project / "corpora/home/grammar.yaml"
    before = grammar.read_text()
    grammar.write_text(before.replace("please", "kindly"))
    assert grammar.read_text() != before
    try:
        run(project, sys.executable, "-m", "dvc", "repro", "train_teacher", DIMINUENDO_TRACKING="off")
        digest = digest_of(project, "teacher")
        status, said = command("reproduce", digest, "--environment", "this")  # the commit has the old grammar
    finally:
        grammar.write_text(before)
        run(project, "git", "checkout", "-q", "dvc.lock")
        run(project, sys.executable, "-m", "dvc", "checkout", "-q")
    assert status == 1
    assert "differs: now" in said and "what differed first: corpus" in said
    assert "test utterances in the same words" in said and "log-probabilities" in said


def test_parameters_that_no_commit_has_are_taken_from_the_file(project, command):
    params = project / "params.yaml"
    before = params.read_text()
    changed = yaml.safe_load(before)
    changed["quantize"]["teacher-int4"] = {"from": "teacher", "scheme": "int4_weight", "group_size": 16}
    try:
        write_minute_params(params, changed)
        run(project, sys.executable, "-m", "dvc", "repro", "quantize@teacher-int4", DIMINUENDO_TRACKING="off")
        digest = digest_of(project, "teacher-int4")
        params.write_text(before)
        status, said = command("reproduce", digest, "--environment", "this")
    finally:
        params.write_text(before)
        run(project, "git", "checkout", "-q", "dvc.lock")
        shutil.rmtree(project / "models/teacher-int4", ignore_errors=True)
    assert status == 0, said
    assert "the parameters are taken from the file's lineage" in said and "the same bytes again" in said
