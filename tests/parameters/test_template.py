"""``params/pretrained.yaml``: a checkpoint and a folder of data are all that is to be said."""

import shutil

import pytest
from click.testing import CliRunner

from benchmarks.random_checkpoint import write_checkpoint
from diminuendo.cli import main
from diminuendo.parameters import load_params
from diminuendo.pretrained.checkpoint import opened
from tests.factories.audio import ROOT, write_manifest

pytest.importorskip("transformers")

MEMBERS = ("teacher", "slim", "teacher-int8", "teacher-int4", "slim-int8", "slim-int4")
NEW_HEAD = ("--set", "teacher.head=ctc", "--set", "text.units=characters")


def command(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def template(tmp_path, monkeypatch):
    """A folder with the template and data of one's own; the arguments that put both in place."""
    opened.cache_clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params").mkdir()
    shutil.copy(ROOT / "params/pretrained.yaml", tmp_path / "params")
    shutil.copytree(ROOT / "corpora/collected", tmp_path / "corpora/collected")
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech/a.wav").write_bytes(b"a check decodes no audio")
    for split in ("train", "dev", "test"):
        write_manifest(
            tmp_path / f"speech/{split}.jsonl", [{"audio_filepath": "a.wav", "text": "ab", "speaker": split}]
        )
    places = ("--set", "teacher.pretrained.path=checkpoints/own", "--set", "data.path=speech")
    return "use", "params/pretrained.yaml", "--as", "mine", *places


@pytest.mark.parametrize(
    ("kind", "more"),
    [("wav2vec2", ()), ("parakeet_ctc", ()), ("whisper", NEW_HEAD)],
    ids=["wav2vec2", "parakeet", "whisper with a new head"],
)
def test_with_two_places_it_is_a_family(template, tmp_path, kind, more):
    write_checkpoint(kind, tmp_path / "checkpoints/own")
    status, out, err = command(*template, *more)
    assert status == 0 and "next: make repro PARAMS=params/mine.yaml" in out, err
    status, out, err = command("--params", "params/mine.yaml", "check")
    assert status == 0 and "problem" not in err, err
    assert all(member in out for member in MEMBERS) and "train_teacher from own" in out


def test_until_they_are_said_both_are_asked_for(template):
    status, out, err = command("check", "params/pretrained.yaml")
    assert (status, out) == (1, "") and "2 problem(s), nothing was run" in err
    assert "data.path: there is no folder corpora/mine" in err and "teacher.pretrained: checkpoints/mine" in err


def test_its_head_says_the_command():
    head = (ROOT / "params/pretrained.yaml").read_text().partition("\nseed:")[0]
    assert "use params/pretrained.yaml --as mine --set teacher.pretrained.path=FOLDER --set data.path=FOLDER" in head
    assert load_params(ROOT / "params/pretrained.yaml").members.keys() == set(MEMBERS)
