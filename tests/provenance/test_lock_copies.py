"""A ``dvc.lock`` that git or the last run vouches for is whole; any other is explained by what it names, or told."""

import random
from pathlib import Path

import pytest
import yaml

from diminuendo.core.sealed import write_sealed
from diminuendo.provenance import lock_copies
from diminuendo.provenance.homes import MAIN
from diminuendo.provenance.lock_copies import _md5_of, doubts, place_of_copy, vouched_by


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two stages, their files, and the last run's copy of the lock file; no git."""
    monkeypatch.setattr(lock_copies, "git", lambda *_: "")
    (tmp_path / "source").write_text("1\n")
    for name in ("first", "second"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "m").write_text(name)
    write_lock(tmp_path)
    write_sealed(tmp_path / place_of_copy(""), (tmp_path / "dvc.lock").read_bytes())
    return tmp_path


def write_lock(project, **params):
    def named(path):
        return {"path": path, "hash": "md5", "md5": _md5_of(project / path), "size": 7}

    stages = {
        "first": {"cmd": "make first", "deps": [named("source")], "outs": [named("models/first")]},
        "second": {
            "cmd": "make second",
            "deps": [named("models/first")],
            "params": {"params.yaml": {"epochs": 3, **params}},
            "outs": [named("models/second")],
        },
    }
    (project / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))


def test_the_last_runs_copy_vouches(project):
    assert vouched_by(project, MAIN) == "as the last run left it" and list(doubts(project, MAIN)) == []


def test_git_vouches(project, monkeypatch):
    text = (project / "dvc.lock").read_text()
    monkeypatch.setattr(lock_copies, "git", lambda *_: text)
    assert vouched_by(project, MAIN) == "as in git's last commit"


def test_what_dvc_by_hand_leaves_is_explained_by_the_files(project):
    for name in ("first", "second"):
        (project / "models" / name / "m").write_text(f"new {name}")
    write_lock(project, epochs=4)
    assert vouched_by(project, MAIN) is None and list(doubts(project, MAIN)) == []


def test_a_source_that_was_edited_since_is_no_damage(project):
    (project / "source").write_text("2\n")
    write_lock(project)
    (project / "source").write_text("3\n")
    (doubt,) = doubts(project, MAIN)
    assert doubt.what == "the md5 of source" and not doubt.is_damage


def test_every_flipped_bit_is_told_or_says_the_same(project):
    """At positions of all kinds: digests, paths, parameters, commands, keys, names of stages."""
    path, chance = Path(project, "dvc.lock"), random.Random(0)
    content = path.read_bytes()
    said = yaml.safe_load(content)
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << chance.randrange(7)
        path.write_bytes(changed)
        try:
            now = yaml.safe_load(bytes(changed))
        except (yaml.YAMLError, ValueError):
            continue  # which verify reports as not readable
        if isinstance(now, dict) and now != said:
            context = bytes(changed[max(0, position - 20) : position + 20])
            assert vouched_by(project, MAIN) is None and list(doubts(project, MAIN)), context


def test_a_flipped_digest_is_damage(project):
    path = project / "dvc.lock"
    text = path.read_text()
    digest = yaml.safe_load(text)["stages"]["first"]["outs"][0]["md5"]
    other = ("0" if digest[0] != "0" else "1") + digest[1:]
    for damaged in (text.replace(digest, other, 1), text.replace("epochs: 3", "epochs: 7"), text.replace("7", "6", 1)):
        path.write_text(damaged)
        assert any(doubt.is_damage for doubt in doubts(project, MAIN))


def test_the_entry_of_a_member_that_was_taken_out_may_go(project):
    """Though another has a name that begins alike."""
    content = yaml.safe_load((project / "dvc.lock").read_text())
    content["stages"] = {"quantize@small": content["stages"]["first"], "quantize@small-8": content["stages"]["second"]}
    write_sealed(project / place_of_copy(""), yaml.safe_dump(content).encode())
    del content["stages"]["quantize@small"]
    (project / "dvc.lock").write_text(yaml.safe_dump(content))
    for members, is_damage in (({"small": {}, "small-8": {}}, True), ({"small-8": {}}, False)):
        (project / "params.yaml").write_text(yaml.safe_dump({"quantize": members}))
        found = [doubt for doubt in doubts(project, MAIN) if doubt.stage == "quantize@small"]
        assert [doubt.is_damage for doubt in found] == [is_damage]
