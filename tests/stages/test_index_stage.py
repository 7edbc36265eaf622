"""Changed audio makes `prepare` run again, wherever the audio lies: real DVC, real stages, two dozen short files."""

import json
import os
import sys

import pytest
import soundfile
import yaml

from diminuendo.family import OWN, Family
from diminuendo.provenance.clean_clone import THIS, CleanClone
from diminuendo.provenance.descent import Corpus
from diminuendo.provenance.places import Places
from diminuendo.provenance.raw_data import locate
from tests.factories.audio import dummy_corpus, manifest_params, read_manifest, write_manifest
from tests.factories.project import ROOT, make_project, run

INDEX = Family(OWN).index

SKIPPED = "Stage 'prepare' didn't change, skipping"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project beside its raw data; the first recordings of train are out of reach of DVC's listing."""
    place = tmp_path_factory.mktemp("index")
    own, elsewhere, root = dummy_corpus(place / "own"), place / "elsewhere", place / "project"
    (place / "collected").mkdir()
    (elsewhere / "clips").mkdir(parents=True)
    lines = read_manifest(own / "train.jsonl")
    for index, line in enumerate(lines[:4]):
        name = line["audio_filepath"]
        target = elsewhere / "clips" / name
        (own / name).rename(target)
        names = [f"linked/{name}", str(target), f"../elsewhere/clips/{name}", f"link-{name}"]
        line["audio_filepath"] = names[index]
    (own / "linked").symlink_to(elsewhere / "clips")
    (own / lines[3]["audio_filepath"]).symlink_to(elsewhere / "clips" / "train-003.wav")
    write_manifest(own / "train.jsonl", lines)
    params = manifest_params("../own", **{"data.collected": "../collected"})
    root.mkdir()
    (root / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json", by_alias=True, exclude_none=True)))
    make_project(root, (ROOT / "dvc.yaml").read_text())
    assert "Running stage 'prepare'" in repro(root)
    return root


def repro(root):
    return run(root, sys.executable, "-m", "dvc", "repro", "prepare", DIMINUENDO_TRACKING="off").stdout


def digest(root):
    return json.loads((root / "data/prepared/corpus.json").read_text())["digest"]


def change(path, keep_time):
    before = path.stat()
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples * 0.5, rate)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize(
    ("path", "keep_time"),
    [
        ("elsewhere/clips/train-000.wav", False),
        ("elsewhere/clips/train-001.wav", False),
        ("elsewhere/clips/train-002.wav", False),
        ("elsewhere/clips/train-003.wav", False),
        ("own/train-004.wav", True),
    ],
    ids=["folder behind a link", "absolute path", "outside of the folder", "link", "time of modification kept"],
)
def test_changed_audio_is_noticed(project, path, keep_time):
    before = digest(project)
    change(project.parent / path, keep_time)
    assert "Running stage 'prepare'" in repro(project)
    assert digest(project) != before


def test_unchanged_audio_is_not_prepared_again(project):
    index, before = (project / INDEX).read_bytes(), digest(project)
    (project.parent / "elsewhere/clips/train-000.wav").touch()
    (project.parent / "elsewhere/unused.wav").write_bytes(b"named by no manifest")
    assert SKIPPED in repro(project)
    assert ((project / INDEX).read_bytes(), digest(project)) == (index, before)


def test_a_clean_clone_makes_the_index_and_the_same_corpus(project, tmp_path):
    commit = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    places = Places(project)
    raw = locate(places, Corpus(digest(project), {}), commit)
    clone = CleanClone(places, commit, raw, tmp_path / "again", THIS)
    clone.make(say=lambda _line: None)
    clone.set_parameters([], [], say=lambda _line: None)
    assert clone.prepare(say=lambda _line: None) == digest(project)
    assert (clone.root / INDEX).read_bytes() == (project / INDEX).read_bytes()


def test_it_imports_little(project):
    """It runs at every repro."""
    command = "import sys, stages.index; stages.index.main(); print(*sys.modules)"
    loaded = set(run(project, sys.executable, "-c", command, PYTHONPATH=str(project)).stdout.split())
    assert "stages.index" in loaded
    assert loaded.isdisjoint(
        {"numpy", "torch", "pydantic", "mlflow", "soundfile", "dvc", "onnx", "diminuendo.config.base"}
    )


@pytest.mark.parametrize("content", ["data: [", "seed: 1", "data: [1]", "", b"\xff"])
def test_parameters_that_cannot_be_read_are_one_error(tmp_path, content):
    (tmp_path / "params.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(tmp_path, sys.executable, "-m", "stages.index", check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert done.stderr.startswith("error: index: params.yaml: ") and "Traceback" not in done.stderr
    assert not (tmp_path / INDEX).exists()
