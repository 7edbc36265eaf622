"""Whoever can write to MLflow puts another file in the champion's place: refused with a key, warned of without."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from diminuendo import registry
from diminuendo.cli import main
from diminuendo.core.files import sha256_of
from diminuendo.provenance.descent import read_record
from diminuendo.signing import read_signature, sign, signature_path
from diminuendo.signing.keys import make_pair, read_private
from tests.factories.shipping import decision_about, params, write_member
from tests.factories.signed import change_ship, git, seal, swap_champion, track_models

MODEL = Path("models/student/model.onnx")


@pytest.fixture
def command(repository):
    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        return result.exit_code, result.stdout + result.stderr

    return invoke


@pytest.fixture
def champion(repository) -> registry.Version:
    return registry.promote(registry.register(params(), MODEL, decision_about(MODEL)))


@pytest.fixture
def forged(tmp_path) -> Path:
    """A file of the same name and parents that hears something else, whole by its own checksum."""
    teacher = sha256_of("models/teacher/model.onnx")
    return seal(write_member(tmp_path / "forged", "student", teacher, confuse=("a", "o")))


def lines(said: str, what: str) -> list[str]:
    return [line for line in said.splitlines() if what in line]


def test_without_a_key_git_vouches_for_the_champion_and_not_for_the_one_in_its_place(command, champion, forged):
    status, said = command("verify")
    (line,) = lines(said, "origin of commands/1")
    assert line.startswith("whole") and "dvc.lock of commit" in line and "names it as models/student" in line
    signature_path(Path("out.onnx")).write_text("of another file")
    assert "note: " not in command("fetch", "commands@champion", "out.onnx")[1]
    assert not signature_path(Path("out.onnx")).exists()
    swap_champion("commands", forged)
    status, said = command("verify")
    (line,) = lines(said, "origin of commands/1")
    assert line.startswith("unvouched") and "no commit at hand has a dvc.lock that names these bytes" in line
    assert "1 unvouched" in said
    status, said = command("verify", "commands@champion")
    assert lines(said, "origin of commands/1")[0].startswith("unvouched")
    status, said = command("fetch", "commands@champion", "out.onnx")
    assert status == 0 and "note: nobody vouches for this file: it is not signed, and no commit" in said
    status, said = command("verify", "out.onnx")
    assert lines(said, "origin of file out.onnx")[0].startswith("unvouched")


def test_a_model_that_was_never_committed_is_called_so(command, champion, repository):
    seal(write_member(Path("models"), "student", sha256_of("models/teacher/model.onnx"), confuse=("e", "u")))
    track_models(repository)
    assert "the dvc.lock that names it is not committed" in command("verify", MODEL)[1]
    git(repository, "commit", "-qam", "another student")
    assert lines(command("verify", MODEL)[1], "origin of file")[0].startswith("whole")


def test_with_a_key_the_swap_is_found_by_verify_and_refused_by_fetch(command, champion, forged, keys):
    assert command("sign", "commands@champion", "--key", keys[0])[0] == 0
    for arguments in (("verify", "--key", keys[1]), ("verify", "commands@champion", "--key", keys[1])):
        status, said = command(*arguments)
        assert "whole       origin of commands/1 (student)  models:/commands/1: signed with key" in said, said
    assert command("fetch", "commands@champion", "out.onnx", "--key", keys[1])[0] == 0
    assert (
        "whole       origin of file out.onnx  out.onnx.sig: signed"
        in command("verify", "out.onnx", "--key", keys[1])[1]
    )
    before = Path("out.onnx").read_bytes()
    own = read_signature(Path("out.onnx"))
    stranger = read_private(make_stranger(forged.parent))
    for signature, reason in (
        (None, "not signed"),
        (own, "the signature of another file"),
        (sign(forged, read_record(forged), stranger), "signed with another key"),
        ("{}", "not a signature, or a damaged one"),
    ):
        swap_champion("commands", forged, signature)
        for arguments in (("verify", "--key", keys[1]), ("verify", "commands@champion", "--key", keys[1])):
            status, said = command(*arguments)
            (line,) = lines(said, "origin of commands/1")
            assert status == 1 and line.startswith("missing" if signature is None else "damaged") and reason in line
        status, said = command("fetch", "commands@champion", "out.onnx", "--key", keys[1])
        assert status == 1 and said.startswith("refused: models:/commands/1: ") and reason in said
    swap_champion("commands", forged, own)  # what a writer leaves of the signature says so to those without a key
    assert lines(command("verify", "commands@champion")[1], "origin of commands/1")[0].startswith("damaged")
    assert Path("out.onnx").read_bytes() == before and read_signature(Path("out.onnx")) == own


def make_stranger(folder: Path) -> Path:
    if not (folder / "stranger.pem").exists():
        make_pair(folder / "stranger.pem", folder / "stranger.pub", None)
    return folder / "stranger.pem"


def test_a_policy_that_asks_for_signatures_is_respected_before_anything_changes(command, champion, forged, keys):
    change_ship(Path(), signed="required", key="public.pem")
    slim = Path("models/slim/model.onnx")
    for arguments in (("gate", "slim", "--champion", "none"), ("promote", "slim"), ("promote", "student")):
        status, said = command(*arguments)
        assert status == 1 and "not signed, and signatures are required (ship.signed); `diminuendo sign models/" in said
        assert said.count("\n") == 1 and said.startswith("refused: ")
    status, said = command("promote", "slim", "--force", "--reason", "it must be")
    assert status == 1 and said.startswith("refused: ")  # nobody forces what nobody vouches for
    status, said = command("fetch", "commands@champion", "out.onnx")
    assert status == 1 and said.startswith("refused: models:/commands/1: not signed") and not Path("out.onnx").exists()
    status, said = command("verify")
    assert lines(said, "origin of commands/1")[0].startswith("missing") and status == 1

    assert command("sign", slim, "--key", keys[0])[0] == 0
    status, said = command("gate", "slim")
    assert status == 1 and said.startswith("refused: models:/commands/1: not signed")  # the champion is not
    assert not Path(".work/gate").exists()
    status, said = command("promote", "slim")
    assert status == 1 and "or replace this champion with --force --reason TEXT" in said
    assert [one.version for one in registry.versions("commands")] == ["1"]

    assert command("sign", "student", "--key", keys[0])[0] == 0
    status, said = command("promote", "student")  # signed since it became champion
    assert status == 0 and "is the champion already" in said
    assert lines(command("verify")[1], "origin of commands/1")[0].startswith("whole")
    assert command("fetch", "commands@champion", "out.onnx")[1].count("signed with key") == 1
    assert signature_path(Path("out.onnx")).read_text() == signature_path(MODEL).read_text()


def test_the_signature_travels_with_a_promotion_and_a_rollback_asks_for_it(command, champion, forged, keys):
    slim = Path("models/slim/model.onnx")
    assert command("sign", slim, "--key", keys[0])[0] == 0
    change_ship(Path(), signed="required", key="public.pem")
    status, said = command("promote", "slim", "--force", "--reason", "the champion was never signed")
    assert status == 0 and "models:/commands/2 (slim) is now champion" in said, said
    version = registry.champion("commands")
    assert version.signature() == signature_path(slim).read_text()
    status, said = command("rollback")
    assert status == 1 and said.startswith("refused: models:/commands/1: not signed")
    assert registry.champion("commands").version == "2"
    assert command("sign", "commands/1", "--key", keys[0])[0] == 0
    assert command("rollback")[0] == 0 and registry.champion("commands").version == "1"
    swap_champion("commands", forged, registry.find("commands/1").signature())
    status, said = command("promote", "slim")
    assert status == 1 and said.startswith("refused: models:/commands/1: the signature of another file")
    assert registry.champion("commands").version == "1"


def test_a_broken_signature_is_refused_even_where_none_is_asked_for(repository, command, private, keys):
    signature_path(MODEL).write_text(sign(Path("models/slim/model.onnx"), {}, private))
    status, said = command("gate", "student", "--champion", "none")
    assert status == 1 and "the signature with it is of another file" in said
    change_ship(Path(), key="public.pem")
    status, said = command("gate", "student", "--champion", "none")
    assert status == 1 and "the signature of another file" in said
    status, said = command("verify", "student")
    assert status == 1 and "the signature of another file" in said


def test_git_vouches_for_a_file_that_it_keeps_itself(command, champion, repository, forged):
    shutil.copy(forged, "own.onnx")
    assert lines(command("verify", "own.onnx")[1], "origin of file")[0].startswith("unvouched")
    git(repository, "add", "-f", "own.onnx")
    git(repository, "commit", "-qm", "a model in git")
    (line,) = lines(command("verify", "own.onnx")[1], "origin of file")
    assert line.startswith("whole") and "has these bytes as this file" in line
    seal(write_member(repository / "changed", "student", sha256_of("models/teacher/model.onnx"), confuse=("e", "u")))
    shutil.copy("changed/student/model.onnx", "own.onnx")
    assert lines(command("verify", "own.onnx")[1], "origin of file")[0].startswith("unvouched")
