"""``diminuendo use``: a file of parameters in place of another, or as a family of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from unittest.mock import ANY

import pytest
import yaml

from diminuendo.parameters import load_params


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_use_puts_a_file_in_place_with_changes_and_keeps_comments(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    (tmp_path / "other.yaml").write_text(source)
    (tmp_path / "params.yaml").unlink()
    status, _, err = run("use", "other.yaml", "--set", "training.epochs=3", "--set", "evaluate.group_by=[speaker]")
    assert (status, err) == (0, "")
    written = (tmp_path / "params.yaml").read_text()
    raw = yaml.safe_load(written)
    expected = yaml.safe_load(source)
    expected["training"]["epochs"], expected["evaluate"]["group_by"] = 3, ["speaker"]
    assert raw == expected
    assert written.count("#") == source.count("#")
    assert (tmp_path / "other.yaml").read_text() == source


def test_null_is_written_as_null(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    assert run("use", "params.yaml", "--as", "mine", "--set", "data.source=manifest", "--set", "synthesis=")[0] == 0
    written = (tmp_path / "params/mine.yaml").read_text().splitlines()
    untouched = [line for line in source.splitlines() if ": null" in line]
    assert untouched and set(untouched) <= set(written)
    assert "synthesis: null" in written


@pytest.mark.parametrize(
    ("line", "change", "written"),
    [
        ("units: sentencepiece         # of 96 units", "text.units=characters", "units: characters"),
        (
            "units: sentencepiece         # of 96 units",
            "text.units=sentencepiece",
            "units: sentencepiece  # of 96 units",
        ),
        ("seed: 1  # one of a kind", "seed=2", "seed: 2"),
        ("lowercase: true  # false: as they are", "text.lowercase=false", "lowercase: false # false: as they are"),
        (
            "normalizer: none  # none, basic or english",
            "evaluate.normalizer=basic",
            "normalizer: basic # none, basic or english",
        ),
        (
            "path: corpora/home  # manifest: a folder",
            "data.path=corpora/mine",
            "path: corpora/mine # manifest: a folder",
        ),
        ("recordings: null  # of noise", "evaluate.noise.recordings=corpora", "recordings: corpora # of noise"),
        ("mels: 64  # seen in 64 tests", "frontend.mels=80", "mels: 80"),
    ],
)
def test_a_comment_behind_a_changed_value_stays_only_where_it_explains_the_key(run, tmp_path, line, change, written):
    """What follows it, up to the next key, always stays."""
    key = line.partition(":")[0]
    source = re.sub(
        rf"(?m)^( *){key}: .*$", rf"\1{line}\n\1# the next key", (tmp_path / "params.yaml").read_text(), count=1
    )
    (tmp_path / "other.yaml").write_text(source)
    assert run("use", "other.yaml", "--as", "mine", "--set", change)[::2] == (0, "")
    lines = [" ".join(one.split()) for one in (tmp_path / "params/mine.yaml").read_text().splitlines()]
    at = lines.index("# the next key")
    assert lines[at - 1] == " ".join(written.split())


def test_use_makes_a_family_of_its_own(run, tmp_path):
    before = (tmp_path / "params.yaml").read_text()
    status, out, _ = run("use", "params.yaml", "--as", "mine", "--set", "training.epochs=3")
    assert status == 0 and "make repro PARAMS=params/mine.yaml" in out
    assert yaml.safe_load((tmp_path / "params/mine.yaml").read_text())["training"]["epochs"] == 3
    assert (tmp_path / "params.yaml").read_text() == before
    assert run("use", "params.yaml", "--as", "mine")[0] == 0  # what `use` wrote is replaced
    assert run("--params", "params/mine.yaml", "check")[0] == 0
    status, _, err = run("use", "params.yaml", "--as", "../mine")
    assert status == 1 and "params/NAME.yaml" in err


def test_use_leaves_keys_out(run, tmp_path):
    options = ("--unset", "distill.student-alone", "--unset", "retrain", "--set", "training.epochs=3")
    status, out, _ = run("use", "params.yaml", "--as", "mine", *options)
    assert status == 0 and "without distill.student-alone" in out
    raw = yaml.safe_load((tmp_path / "params/mine.yaml").read_text())
    assert "student-alone" not in raw["distill"] and "retrain" not in raw and raw["training"]["epochs"] == 3
    for key in ("distill.nobody", "seed.more", "nobody.at.all"):
        status, _, err = run("use", "params.yaml", "--as", "mine", "--unset", key)
        assert status == 1 and f"--unset {key}: params.yaml has no such key" in err
    keys = [f"--unset=teacher.{key}" for key in ("architecture", "training", "losses")]
    status, _, err = run("use", "params.yaml", "--as", "mine", "--force", *keys)
    assert status == 1 and "a section would be left without keys" in err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("training.epochs", "expected key.path=value"),
        ("training.epochs=0", "training.epochs"),
        ("training.epochs.more=1", "training.epochs is a value"),
        ("nonsense=1", "nonsense: unknown key"),
        ("training.epochs=[", "not YAML"),
    ],
)
def test_use_refuses_what_is_not_valid_and_leaves_params_alone(run, tmp_path, change, problem):
    before = (tmp_path / "params.yaml").read_bytes()
    (tmp_path / "other.yaml").write_bytes(before)
    status, _, err = run("use", "other.yaml", "--set", change)
    assert status == 1 and problem in err and "Traceback" not in err
    assert (tmp_path / "params.yaml").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_use_does_not_overwrite_what_git_does_not_have(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    (tmp_path / "other.yaml").write_text(source.replace("seed: ", "seed: 1"))
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    assert run("use", "other.yaml")[0] == 0  # params.yaml was the committed one
    own = (tmp_path / "params.yaml").read_text() + "# mine\n"
    (tmp_path / "params.yaml").write_text(own)
    status, _, err = run("use", "other.yaml")
    assert status == 1 and "not committed" in err
    assert (tmp_path / "params.yaml").read_text() == own
    (tmp_path / "third.yaml").write_text(own)
    assert run("use", "third.yaml")[0] == 0  # the same content: nothing to lose
    (tmp_path / "params.yaml").write_text(own + "# and more\n")
    assert run("use", "other.yaml", "--force")[0] == 0
    assert (tmp_path / "params.yaml").read_text() == (tmp_path / "other.yaml").read_text()


def test_use_replaces_what_use_wrote_and_keeps_it(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    (tmp_path / "other.yaml").write_text(source.replace("seed: ", "seed: 1"))
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    assert run("use", "other.yaml", "--set", "training.epochs=7")[0] == 0
    written = (tmp_path / "params.yaml").read_text()
    assert run("use", "other.yaml", "--set", "training.epochs=8") == (0, ANY, "")
    assert written in [path.read_text() for path in (tmp_path / ".work/params").iterdir()]
    (tmp_path / "params.yaml").write_text(written)  # put back by hand: still what `use` wrote
    assert run("use", "other.yaml")[0] == 0
    assert run("use", "other.yaml", "--set", "training.epochs=7")[0] == 0
    shutil.rmtree(tmp_path / ".work")  # then nobody can tell any more
    status, _, err = run("use", "other.yaml")
    assert status == 1 and "not committed" in err and (tmp_path / "params.yaml").read_text() == written


def test_use_replaces_what_an_older_commit_has(run, tmp_path):
    source = (tmp_path / "params.yaml").read_text()
    git("init", "-q")
    for text in (source + "# old\n", source):
        (tmp_path / "params.yaml").write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", text[-5:])
    (tmp_path / "other.yaml").write_text(source + "# other\n")
    (tmp_path / "params.yaml").write_text(source + "# old\n")
    assert run("use", "other.yaml")[0] == 0


def test_use_without_git_does_not_overwrite(run, tmp_path):
    (tmp_path / "other.yaml").write_text((tmp_path / "params.yaml").read_text() + "# more\n")
    assert run("use", "other.yaml")[0] == 1
    assert run("use", "missing.yaml")[0] == 1


@pytest.mark.parametrize(
    "change, written",
    [
        ('retrain.notify=["http://x"]', ["http://x"]),
        ("retrain.notify=[http://x, a:b]", ["http://x", "a:b"]),
        ('retrain.notify=["yes", \'010\', 12:30, "a: b", "x #y"]', ["yes", "010", "12:30", "a: b", "x #y"]),
    ],
)
def test_use_writes_texts_so_that_they_are_read_as_they_were_given(run, tmp_path, change, written):
    (tmp_path / "params.yaml").rename(tmp_path / "other.yaml")
    assert run("use", "other.yaml", "--set", change)[::2] == (0, "")
    assert list(load_params(tmp_path / "params.yaml").retrain.notify) == written


def test_use_validates_what_is_read_later(run, tmp_path):
    (tmp_path / "params.yaml").rename(tmp_path / "other.yaml")
    status, out, err = run("use", "other.yaml", "--set", "seed=010")
    assert (status, out) == (1, "") and "010 means one thing in YAML 1.1 and another in 1.2" in err
    assert not (tmp_path / "params.yaml").exists()
