"""A version whose weights lie in a file of their own: logged, registered, fetched and checked as one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from diminuendo import registry
from diminuendo.artifact.external_data import bytes_of_files, check_data, data_of, files_of
from diminuendo.cli import main
from diminuendo.core.files import sha256_of
from diminuendo.registry.logged import fetch_logged
from diminuendo.runtime import Recognizer
from diminuendo.runtime.ctc import decode_text
from tests.factories.onnx_models import TOKENS, speak
from tests.factories.shipping import decision_about, params
from tests.factories.two_files import flip, rewrite, small_limit  # noqa: F401

MODEL = Path("models/teacher/model.onnx")
SAID = "call anna"


@pytest.fixture
def pair(shop, request) -> tuple[Path, Path]:
    request.getfixturevalue("small_limit")
    return MODEL, rewrite(MODEL)


def register() -> registry.Version:
    return registry.register(params(bytes=10**6), MODEL, decision_about(MODEL))


def stored_data(name: str) -> Path:
    (path,) = Path("mlartifacts").rglob(name) if Path("mlartifacts").is_dir() else Path("mlruns").rglob(name)
    return path


def test_both_files_are_registered_and_mlflow_runs_them(pair):
    import mlflow

    version = register()
    assert version.digest == sha256_of(MODEL) and version.tags["bytes"] == str(bytes_of_files(MODEL))
    assert stored_data(pair[1].name).read_bytes() == pair[1].read_bytes()
    model = mlflow.pyfunc.load_model(f"models:/commands/{version.version}")
    waveform = speak(SAID)
    found = model.predict({"waveform": waveform[None], "waveform_lengths": np.array([len(waveform)])})
    path = np.asarray(found["log_probs"])[0, : int(found["lengths"][0])].argmax(-1)
    assert decode_text(path, TOKENS) == SAID


def test_what_is_fetched_is_whole_wherever_it_lies(pair, tmp_path):
    version = register()
    out = tmp_path / "elsewhere" / "mine.onnx"
    out.parent.mkdir()
    registry.fetch("commands@challenger", out)
    assert sorted(out.parent.iterdir()) == sorted(files_of(out))
    assert Recognizer(out).transcribe(speak(SAID)).text == SAID
    for fetch in (version.download, lambda folder: fetch_logged(version.digest, folder)):
        path = fetch(tmp_path / "work")
        check_data(path)
        flip(data := files_of(path)[1], 40)
        assert fetch(tmp_path / "work") == path  # a copy that is not whole is brought again
        check_data(path)
        data.unlink()
        fetch(tmp_path / "work")
        check_data(path)


@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_weights_that_the_store_lost_are_noticed_and_replaced(harm, pair, tmp_path):
    version = register()
    stored = stored_data(pair[1].name)
    flip(stored, 40) if harm == "flipped" else stored.unlink()
    assert not registry.is_whole(version)
    with pytest.raises(
        registry.NotWhole, match="damaged in the artifact store" if harm == "flipped" else "data cannot be"
    ):
        version.download(tmp_path)
    assert fetch_logged(version.digest, tmp_path) is None and not list(tmp_path.glob("*.onnx"))
    found = CliRunner().invoke(main, ["verify", str(MODEL)]).stdout
    status = "damaged" if harm == "flipped" else "missing"
    assert re.search(rf"{status} +weights of model teacher {version.digest[:12]}", found), found
    again = register()
    assert (again.version, again.digest) == ("2", version.digest) and registry.is_whole(again)


def test_a_file_of_other_weights_is_another_model(pair):
    digest = sha256_of(MODEL)
    assert data_of(MODEL).sha256 == sha256_of(pair[1])
    from tests.factories.shipping import write_member

    write_member(Path("models"), "teacher", width=97)
    rewrite(MODEL)
    assert sha256_of(MODEL) != digest
