"""What all imports share: the folder that is written, what is said, and the parameter file."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
import yaml
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.data.prepared import PreparedCorpus
from tests.factories.audio import ROOT, dummy_corpus, manifest_params, prepare_corpus, read_manifest
from tests.factories.layouts import TEXTS, imported, refused, run_import, write_lines, write_sound


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of 40 utterances of ten speakers."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for index in range(40):
        write_sound(tmp_path / f"clips/{index}.wav", index)
        rows.append(f"{index}.wav,{TEXTS[index % 6]},s{index // 4},{'fm'[index % 2]}")
    return write_lines(tmp_path / "mine.csv", ["path,sentence,speaker,gender", *rows])


def test_what_is_imported_can_be_prepared(table, tmp_path):
    splits = imported("csv", table, out=tmp_path / "out")
    (tmp_path / "prepared").mkdir()
    params = manifest_params(tmp_path / "out")
    prepare_corpus(params, tmp_path / "prepared", workers=1, say=lambda _: None, report=tmp_path / "report.txt")
    corpus = PreparedCorpus.open(tmp_path / "prepared")
    for split, lines in splits.items():
        assert [(u.text, u.speaker) for u in corpus.split(split)] == [(line["text"], line["speaker"]) for line in lines]


def test_what_was_found_is_said(table):
    status, out, _ = run_import("csv", table)
    assert status == 0
    lines = out.splitlines()
    assert (
        lines[0]
        == "mine.csv: columns: audio from 'path', text from 'sentence', speaker from 'speaker', gender from 'gender'"
    )
    assert [line.split() for line in lines[2:6]] == [
        ["split", "utterances", "minutes", "speakers", "characters"],
        ["train", "32", "0.4", "8", "5"],
        ["dev", "4", "0.0", "1", "5"],
        ["test", "4", "0.0", "1", "5"],
    ]
    assert "the source has no splits: divided by a digest of the 10 speakers' names, each in one split" in lines
    assert "characters of train: abcde" in lines
    assert "4 of 4 texts of test are texts of train too" in lines
    assert "corpora/mine is written. Its parameters:" in lines


@pytest.mark.parametrize(("gone", "warned"), [(4, False), (5, True)])
def test_more_than_a_tenth_that_was_left_out_is_a_warning_in_the_last_line(table, tmp_path, gone, warned):
    rows = table.read_text().splitlines()
    write_lines(table, [*rows, *(f"gone{index}.wav,bed,s0,f" for index in range(gone))])
    status, out, err = run_import("csv", table, "--out", "out")
    assert status == 0, err
    *_, last = out.splitlines()
    assert last.startswith("warning: 5 of 45 were left out, more than a tenth; ") is warned
    assert ("out/left_out.txt" in last) is warned


def test_an_import_gives_the_same_bytes_again(table, tmp_path):
    imported("csv", table, out=tmp_path / "out")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(first) == {"train.jsonl", "dev.jsonl", "test.jsonl", "import.json"}
    imported("csv", table, out=tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


def test_nothing_of_somebody_else_is_replaced(table, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.jsonl").write_text("mine")
    assert "is there already, and no import wrote it" in refused("csv", table, "--out", out)
    assert (out / "train.jsonl").read_text() == "mine"
    shutil.rmtree(out)
    imported("csv", table, out=out)
    (out / "thesis.txt").write_text("mine")
    assert "holds 'thesis.txt', which no import wrote and which would be lost" in refused("csv", table, "--out", out)
    assert (out / "thesis.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    assert "is no folder" in refused("csv", table, "--out", tmp_path / "file")


def test_a_source_inside_of_the_target_is_not_replaced(tmp_path):
    out = tmp_path / "out"
    write_lines(out / "import.json", ["{}"])
    for index in range(3):
        write_sound(out / f"audio/{index}.wav", index)
    rows = [f"out/audio/{i}.wav,bed,s{i}" for i in range(3)]
    table = write_lines(tmp_path / "t.csv", ["path,text,speaker", *rows])
    assert "which would be replaced; give another --out" in refused("csv", table, "--out", out)
    assert (out / "audio/2.wav").is_file()


def test_after_a_failure_nothing_is_left(table, tmp_path):
    refused("csv", table, "--column", "text=nobody", "--out", tmp_path / "out")
    write_lines(table, ["path,sentence", "gone.wav,bed"])
    refused("csv", table, "--out", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "mine.csv"]


@pytest.mark.parametrize(
    "arguments", [("--dev", "0"), ("--test", "1"), ("--dev", "0.6", "--test", "0.5"), ("--dev", "nan")]
)
def test_shares_that_leave_nothing_are_refused(table, arguments):
    assert "expected shares above 0 that leave some for train" in refused("csv", table, *arguments)


def test_shares_can_be_set(table, tmp_path):
    splits = imported("csv", table, "--dev", "0.2", "--test", "0.3", out=tmp_path / "out")
    assert [len(own) for own in splits.values()] == [20, 8, 12]


def test_a_parameter_file_is_written_and_is_valid(table):
    shutil.copy(ROOT / "params.yaml", ".")
    shutil.copytree(ROOT / "corpora/collected", "corpora/collected")
    status, out, err = run_import("csv", table, "--params", "params/mine.yaml")
    assert status == 0, err
    assert out.endswith("params/mine.yaml is written, from params.yaml\nnext: make repro PARAMS=params/mine.yaml\n")
    written = yaml.safe_load(Path("params/mine.yaml").read_text())
    assert written["data"]["path"] == "corpora/mine" and written["data"]["sample_rate"] == 8000
    assert written["evaluate"]["group_by"] == ["gender"] and written["ship"]["model"] == "mine"
    assert written["synthesis"] is None and written["text"]["units"] == "characters"
    assert "# The whole pipeline." in Path("params/mine.yaml").read_text()
    result = CliRunner().invoke(main, ["check", "params/mine.yaml"])
    assert result.exit_code == 0 and result.stderr == "", result.stderr


def test_the_next_command_is_one_that_works(table):
    shutil.copy(ROOT / "params.yaml", ".")
    shutil.copytree(ROOT / "corpora/collected", "corpora/collected")
    _, out, _ = run_import("csv", table)
    line = next(line for line in out.splitlines() if line.startswith("next: diminuendo "))
    result = CliRunner().invoke(main, shlex.split(line.removeprefix("next: diminuendo ")))
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(main, ["check", "params/mine.yaml"]).exit_code == 0


def test_a_place_for_parameters_that_is_no_familys_is_known_before_anything_is_written(table):
    shutil.copy(ROOT / "params.yaml", ".")
    assert "a family's parameters are" in refused("csv", table, "--params", "mine.yaml", "--out", "out")
    assert "nothing.yaml" in refused("csv", table, "--params", "params/x.yaml", "--template", "nothing.yaml")
    write_lines(Path("params/own.yaml"), ["# mine"])
    message = refused("csv", table, "--params", "params/own.yaml", "--out", "out")
    assert "not committed and would be lost; commit it, copy it away, or give another --params" in message
    assert not Path("out").exists()


def test_a_library_that_the_parameter_file_needs_is_known_before_anything_is_written(table, monkeypatch):
    """An environment that was made before it became a dependency."""
    shutil.copy(ROOT / "params.yaml", ".")
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    assert "needs ruamel.yaml, which is not installed" in refused("csv", table, "--params", "params/mine.yaml")
    assert not Path("corpora/mine").exists()


def test_characters_that_train_lacks_are_said_and_settled_in_the_parameters(tmp_path):
    rows = []
    for index, split in enumerate(("train", "train", "dev", "test")):
        write_sound(tmp_path / f"{index}.wav", index)
        rows.append(f"{index}.wav,{('bed', 'ace', 'bad', 'zoé')[index]},s{index},{split}")
    table = write_lines(tmp_path / "t.csv", ["path,text,speaker,split", *rows])
    status, out, err = run_import("csv", table, "--out", tmp_path / "out")
    assert status == 0, err
    unknown = "'o' (U+006F), 'z' (U+007A), 'é' (U+00E9); the parameters below have text.unknown: replace, which puts �"
    assert f"test has 3 character(s) that train has not: {unknown}" in out and "refuses" not in out
    assert "unknown: replace" in out


def test_a_script_without_spaces_asks_for_characters(tmp_path):
    rows = []
    for index in range(6):
        write_sound(tmp_path / f"{index}.wav", index)
        rows.append(f"{index}.wav,{'今天天气很好'[index:]}好,s{index}")
    table = write_lines(tmp_path / "t.csv", ["path,text,speaker", *rows])
    _, out, _ = run_import("csv", table, "--out", tmp_path / "out")
    assert "units: characters" in out


def test_manifests_of_ours_say_what_a_header_says(tmp_path):
    source = dummy_corpus(tmp_path / "source")
    rows = [
        f"{line['audio_filepath']},{line['text']},{line['speaker']},{split}"
        for split in ("train", "dev", "test")
        for line in read_manifest(source / f"{split}.jsonl")
    ]
    splits = imported("csv", write_lines(source / "t.csv", ["path,text,speaker,split", *rows]), out=tmp_path / "out")
    for split, lines in splits.items():
        for line, own in zip(lines, read_manifest(source / f"{split}.jsonl")):
            assert line["duration"] == pytest.approx(own["duration"], abs=1e-6)
            assert soundfile.info(tmp_path / "out" / line["audio_filepath"]).frames
    assert json.loads((tmp_path / "out/import.json").read_text())["utterances"] == {"train": 16, "dev": 4, "test": 4}
