"""`pip install .` is enough for the commands that run a shipped file and tell where it came from."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import onnx
import pytest
import soundfile
import yaml
from packaging.requirements import Requirement

from diminuendo import Recognizer, UserError
from diminuendo.artifact.onnx_file import write_onnx
from diminuendo.core.extras import EXTRAS, extra_with
from diminuendo.core.files import sha256_of
from diminuendo.data.resample import resample
from tests.factories.light import PROJECT, canonical, light_modules, modules_by_distribution, run_light
from tests.factories.onnx_models import SAMPLE_RATE, TOKENS, speak
from tests.factories.project import ROOT
from tests.factories.shipping import write_member


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A shipped file and a recording, outside any checkout, and what `check` looks at."""
    folder = tmp_path_factory.mktemp("light")
    write_onnx(folder / "model.onnx", onnx.load(write_member(folder, "student", teacher="a" * 64)))
    soundfile.write(folder / "one.wav", speak("hello world"), SAMPLE_RATE)
    shutil.copytree(ROOT / "corpora", folder / "corpora")
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


@pytest.fixture
def run(folder):
    """Runs a command as a light installation would; gives exit status, output, errors."""

    def command(*arguments: str, given: bytes = b"") -> tuple[int, str, str]:
        done = run_light(folder, "-m", "diminuendo.cli", *arguments, given=given)
        return done.returncode, done.stdout, done.stderr

    return command


def test_transcribe(run, folder):
    assert run("transcribe", "model.onnx", "one.wav") == (0, "hello world\n", "")
    assert run("transcribe", "model.onnx", "-", given=(folder / "one.wav").read_bytes())[1] == "hello world\n"


def test_trace_says_what_it_did_not_look_at(run, folder):
    status, out, err = run("trace", "model.onnx", "--html", "trace.html")
    assert status == 0 and "student" in out and "teacher  aaaaaaaaaaaa" in out
    assert "no project at hand" in err and "MLflow: " in err and "mlflow.db is not there" in err
    assert "<html" in (folder / "trace.html").read_text()
    status, out, _ = run("trace", "model.onnx", "--json")
    assert status == 0 and len(json.loads(out)["models"]) == 2


def test_verify_says_what_it_did_not_look_at(run):
    status, out, err = run("verify", "model.onnx")
    assert status == 0 and "not at hand" in out and "no project at hand" in err


def test_a_signature_is_made_and_checked(run):
    assert run("keygen", "private.pem", "public.pem", "--no-passphrase")[0] == 0
    status, out, err = run("sign", "model.onnx", "--key", "private.pem")
    assert (status, err) == (0, "") and out.startswith("model.onnx.sig: student ")
    status, out, _ = run("verify", "model.onnx", "--key", "public.pem")
    assert status == 0 and "origin of file model.onnx  model.onnx.sig: signed with key" in out


def test_in_a_project_trace_looks_at_all_but_what_needs_dvc_and_mlflow(folder, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        shutil.copy(ROOT / name, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("CREATE TABLE runs (name TEXT)")
    done = run_light(tmp_path, "-m", "diminuendo.cli", "trace", str(folder / "model.onnx"))
    assert done.returncode == 0 and "no dvc.lock at hand is known to name it" in done.stdout
    assert "DVC: not installed" in done.stderr and "MLflow: not installed" in done.stderr
    assert done.stderr.count("run: pip install '.[pipeline]' in the project's folder") == 2


def test_profile(run):
    status, out, _ = run("profile", "model.onnx", "--runs", "2", "--seconds", "0.5")
    assert status == 0 and "GFLOP/s" in out and "AveragePool" in out


def test_check(run):
    status, out, _ = run("check")
    assert status == 0 and out.startswith("params.yaml is valid") and "slim-int4" in out


def test_a_family_that_begins_with_a_checkpoint_of_a_hub_needs_the_extra(run, folder):
    params = yaml.safe_load((folder / "params.yaml").read_text())
    checkpoint = {"hub": "someone/some-model", "revision": "0" * 40, "licence": "MIT"}
    params["teacher"] = {"pretrained": checkpoint, "head": "ctc", "training": params["teacher"]["training"]}
    (folder / "begun.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    status, out, err = run("check", "begun.yaml")
    assert (status, out) == (1, "") and err.count("\n") == 1
    assert "needs huggingface_hub, which is not installed; run: pip install '.[train]'" in err


def test_a_corpus_is_imported_and_a_family_made_of_it(run, folder):
    for index in range(6):
        soundfile.write(folder / f"{index}.wav", speak("hello world"), SAMPLE_RATE)
    rows = ["path,text,speaker", *(f"{index}.wav,hello world,s{index}" for index in range(6))]
    (folder / "mine.csv").write_text("\n".join(rows))
    status, out, err = run("import", "csv", "mine.csv", "--params", "params/mine.yaml")
    assert (status, err) == (0, "") and out.endswith("next: make repro PARAMS=params/mine.yaml\n")
    assert yaml.safe_load((folder / "params/mine.yaml").read_text())["data"]["path"] == "corpora/mine"
    status, _, err = run("use", "params.yaml", "--as", "other", "--set", "training.epochs=3")
    assert (status, err) == (0, "")
    assert yaml.safe_load((folder / "params/other.yaml").read_text())["training"]["epochs"] == 3


def test_parquet_needs_the_extra(run, folder):
    (folder / "set").mkdir()
    (folder / "set/train.parquet").touch()
    status, out, err = run("import", "huggingface", "set")
    assert status != 0 and out == "" and err.count("\n") == 1
    assert "pyarrow, which reads it, is not installed; run: pip install '.[import]'" in err
    assert not (folder / "corpora/set").exists()


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["gate", "model.onnx"], "pipeline"),
        (["retrain"], "pipeline"),
        (["transcribe", "model.onnx", "one.wav", "--language-model", "words.arpa"], "decoding"),
    ],
)
def test_a_command_of_an_extra_says_how_it_is_installed(run, folder, command, extra):
    (folder / "words.arpa").touch()
    status, out, err = run(*command)
    assert status in (1, 2) and out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert "is not installed" in err and f"pip install '.[{extra}]'" in err


def test_the_recognizer_in_python(folder):
    code = "import diminuendo; print(diminuendo.Recognizer('model.onnx').transcribe('one.wav').text)"
    done = run_light(folder, "-c", code)
    assert (done.stdout, done.returncode) == ("hello world\n", 0), done.stderr


def test_the_example_of_the_docs_runs(folder):
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    words = "assert [word.text for word in words] == ['hello', 'world']"
    done = run_light(folder, "-c", f"{example}\n{words}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    digest = sha256_of(folder / "model.onnx")
    size = (folder / "model.onnx").stat().st_size
    assert lines[0] == f"student {size} {digest[:12]} {len(TOKENS)} {SAMPLE_RATE}"
    assert lines[1].startswith("hello world ") and lines[-1] == "missing.wav: there is no such file"


def test_a_waveform_of_another_rate_is_resampled_and_a_file_takes_no_rate(folder):
    recognizer = Recognizer(folder / "model.onnx", threads=1)
    slow = resample(speak("hello world"), SAMPLE_RATE, 2 * SAMPLE_RATE)
    assert recognizer.transcribe(slow, 2 * SAMPLE_RATE).seconds == recognizer.transcribe(folder / "one.wav").seconds
    with pytest.raises(UserError, match="which says its own"):
        recognizer.transcribe(folder / "one.wav", SAMPLE_RATE)
    with pytest.raises(UserError, match="expected 1 Hz or more"):
        recognizer.transcribe(slow, 0)


def test_what_is_refused_here_is_what_the_extras_bring():
    """Otherwise the tests above would hold nothing."""
    refused = {module for modules in EXTRAS.values() for module in modules}
    assert not refused & light_modules()
    assert {"numpy", "onnxruntime", "soundfile", "click"} <= light_modules()


def test_every_library_of_an_extra_is_known_by_its_module():
    """So that its absence is said in a sentence; those of the extra that the tests or the peers need are not."""
    modules = modules_by_distribution()
    for extra in EXTRAS:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            if canonical(requirement.name) != PROJECT["name"]:
                assert {extra_with(module) for module in modules[canonical(requirement.name)]} >= {extra}, requirement
    assert extra_with("torch.nn.functional") == "train" and extra_with("numpy") is None and extra_with(None) is None


def test_the_lock_has_the_core_and_every_extra_but_the_peers():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {canonical(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    extras = PROJECT["optional-dependencies"]
    named = [*PROJECT["dependencies"], *(line for extra in (*EXTRAS, "dev") for line in extras[extra])]
    assert {canonical(Requirement(line).name) for line in named} - pinned == {"diminuendo"}
    assert Requirement(extras["dev"][0]).extras == {
        "pipeline",
        "decoding",
        "audio",
        "bom",
    }  # so `dev` is all that make installs
    assert Requirement(extras["pipeline"][0]).extras == {"train"}
    assert "://" not in lock


def test_the_version_names_the_commit_of_a_checkout_and_only_of_ours(folder, tmp_path):
    from diminuendo import __version__

    shutil.copytree(ROOT / "diminuendo", tmp_path / "diminuendo", ignore=shutil.ignore_patterns("__pycache__"))

    def version(package: os.PathLike = tmp_path) -> str:
        environment = os.environ | {"PYTHONPATH": str(package)}
        command = [sys.executable, "-m", "diminuendo.cli", "--version"]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert version() == f"diminuendo {__version__}\n"
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")[:12]
    assert version() == f"diminuendo {__version__} (commit {commit})\n"
    (tmp_path / "diminuendo" / "py.typed").write_text("changed")
    assert version() == f"diminuendo {__version__} (commit {commit}, with changes)\n"
    (tmp_path / "site-packages").mkdir()
    shutil.move(tmp_path / "diminuendo", tmp_path / "site-packages")
    assert version(tmp_path / "site-packages") == f"diminuendo {__version__}\n"  # the repository is somebody else's
