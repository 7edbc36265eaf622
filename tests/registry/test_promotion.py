"""Versions, aliases and the way back, in a real SQLite store."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from diminuendo import registry
from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.core.locks import is_held
from diminuendo.gate.inputs import open_model
from diminuendo.registry import logged, store
from diminuendo.registry.address import is_address, parse, resolve
from diminuendo.registry.card import model_card
from diminuendo.registry.table import terminal
from diminuendo.tracking.store import sqlite_file, tracking_uri
from tests.factories.shipping import decision_about, params

FILES = {name: Path("models", name, "model.onnx") for name in ("teacher", "student", "student-int8", "slim")}


def registered(member: str, name: str = "commands", **more) -> registry.Version:
    path = FILES[member]
    settings = params()
    ship = settings.ship.model_copy(update={"model": name})
    return registry.register(settings.model_copy(update={"ship": ship}), path, decision_about(path), **more)


def promoted(member: str, name: str = "commands") -> registry.Version:
    return registry.promote(registered(member, name))


def client():
    from diminuendo.tracking.store import open_client

    return open_client()[0]


def test_a_file_is_one_version_with_all_that_leads_back_to_it(shop):
    from diminuendo.tracking import stage_run

    digest = sha256_of(FILES["student"])
    with stage_run("distill", "student", {}, {"mlflow.source.git.commit": "f" * 40}) as track:
        track.output(digest)
        track.model(FILES["student"], digest)
    track.wait()
    version = registered("student", git_tag="week-1")
    assert (version.version, version.digest, version.member, version.corpus) == ("1", digest, "student", "d" * 64)
    assert version.aliases == ("challenger",) and version.git_tag == "week-1" and len(version.git_commit) == 40
    made = client().search_runs(["1"], f"tags.output = '{digest}'")
    assert [run.info.run_id for run in made] == [version.run]  # what the stage logged, and nothing again
    again = registered("student")
    assert again.version == "1" and again.created == version.created and again.git_tag == "week-1"
    assert registered("slim").version == "2"  # logged now: no stage did
    assert [one.version for one in registry.versions("commands")] == ["2", "1"]
    assert registry.champion("commands") is None


def test_the_card_says_what_a_person_must_know(shop):
    version = registered("student")
    text = client().get_model_version("commands", "1").description
    assert len(text) <= 5000
    for said in (
        f"`{version.digest}`",
        "| train | 3 | 2.00 | 9 | 2 |",
        "| prepared | 8 | 0.00 |",
        "- student: distill from teacher",
        f"- teacher: train teacher; `{sha256_of(FILES['teacher'])}`",
        "synthetic speech: how it does on people was not measured",
        "1.5 to 4.0 s; on none that is shorter or longer",
        "fewer than 4 test utterances were not judged: accent valley 0 (0), accent valley 1 (1)",
        "It uses no frequencies above 4000 Hz",
        "| prepared | accent valley 8 | 8 | WER | 50.00 |",
        "Passed: 9 limits judged.",
    ):
        assert said in text, said
    from mlflow.artifacts import download_artifacts

    folder = Path(download_artifacts("models:/commands/1"))
    assert (folder / "model_card.md").read_text() == text
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".py")]


def test_the_card_names_the_checkpoint_that_the_weights_descend_from_and_its_licence(shop):
    file = open_model(FILES["student"])
    ((digest, teacher),) = file.lineage["ancestors"].items()
    begun = {"source": "someone/small", "revision": "0123456789abcdef" * 2, "licence": "cc-by-nc-4.0"}
    teacher = teacher | {"pretrained": begun | {"files": {"config.json": "a" * 64, "model.safetensors": "b" * 64}}}
    file = replace(file, lineage=file.lineage | {"ancestors": {digest: teacher}})
    card = model_card("commands", file, decision_about(FILES["student"]))
    assert "- someone/small at 0123456789ab, licence: cc-by-nc-4.0, 2 files; `" in card
    assert card.index("- teacher: train teacher") < card.index("- someone/small at")
    said = (
        "- Its weights descend from someone/small at 0123456789ab (licence: cc-by-nc-4.0); what that was trained on is"
    )
    assert card.count(said) == 1


def test_what_is_counted_in_characters_is_told_so_and_listed_by_it(shop):
    assert "judges by WER" in model_card("commands", open_model(FILES["student"]), decision_about(FILES["student"]))
    decision = decision_about(FILES["student"], errors=1)
    figures = decision.tests[0].figures["candidate"] | {"character_substitutions": 3}
    test = replace(decision.tests[0], unit="characters", figures={"candidate": figures})
    in_characters = replace(decision, tests=(test,))
    version = registry.register(params(), FILES["student"], in_characters, force=True, reason="a test")
    card = client().get_model_version("commands", "1").description
    assert "The gate judges by CER: words are not written apart" in card and "| 3/0/0 |" in card
    assert "| prepared | accent valley 8 | 8 | CER | 25.00 |" in card
    assert version.error_rate == ("cer", 0.02) and "CER 2.00" in terminal([version])
    assert registered("slim").error_rate == ("wer", 0.0)


def test_the_card_says_what_it_invented_beside_its_teacher(shop):
    file, decision = open_model(FILES["student"]), decision_about(FILES["student"])
    assert "What nobody said" not in model_card("commands", file, decision)  # a decision that measured nothing of it
    counted = {"test": (8, 1, 0), "snr_0": (5, 3, 2), "noise": (5, 0, 0), "all": (18, 4, 2)}
    loops = {name: dict(zip(("utterances", "loops", "new"), found)) for name, found in counted.items()}
    silence = {"words_per_minute": 3.0, "delta_words_per_minute": 2.5, "characters_per_minute": 9.0}
    own = {"loops": loops, "hallucinated": {"test": {"words_per_minute": 1.0}, "silence": silence, "all": silence}}
    figures = decision.tests[0].figures["candidate"] | own
    card = model_card(
        "commands", file, replace(decision, tests=(replace(decision.tests[0], figures={"candidate": figures}),))
    )
    for line in (
        "- prepared: repetition loops: test 1 of 8, at 0 dB 3 of 5, noise alone 0 of 5; 2 where its teacher has none.",
        "- prepared: test without words: 1.0 words a minute.",
        "- prepared: silence: 3.0 words a minute, its teacher 0.5.",
    ):
        assert f"\n{line}\n" in card
    assert card.index("What nobody said:") < card.index("silence: 3.0") < card.index("\n## Gate\n")


def test_the_card_of_what_was_forced_says_what_was_not_held(shop):
    refused = decision_about(FILES["student"], errors=9)
    card = model_card("commands", open_model(FILES["student"]), refused, "a try")
    assert "not held: WER, ΔWER against the teacher. Registered all the same: a try." in card


def test_a_long_card_is_cut_at_a_line_and_says_so():
    from diminuendo.registry.card import description

    cut = description("a line of a card\n" * 1000)
    assert len(cut) <= 5000 and cut.endswith("`model_card.md` among the artifacts of the model.\n")
    assert "a line of a card\n\n…" in cut


def test_what_the_gate_refused_is_not_registered_unless_forced(shop):
    refused = decision_about(FILES["slim"], errors=9)
    assert not refused.passed
    with pytest.raises(registry.Refused):
        registry.register(params(), FILES["slim"], refused)
    assert registry.versions("commands") == []
    version = registry.register(params(), FILES["slim"], refused, force=True, reason="a test of the field")
    assert version.tags["forced"] == "a test of the field" and version.tags["gate.decision"] == "refused"
    assert "Registered all the same: a test of the field." in client().get_model_version("commands", "1").description
    with pytest.raises(UserError, match="not the file that the gate judged"):
        registry.register(params(), FILES["student"], decision_about(FILES["slim"]))


def test_promotions_and_the_whole_way_back(shop):
    for member in ("teacher", "student", "slim"):
        version = promoted(member)
        assert version.aliases == ("champion",) and registry.champion("commands") == version
    assert version.tags["promoted.replaces"] == "2" and "promoted.reason" not in version.tags
    withdrawn, now = registry.rollback("commands", "too slow in the field")
    assert (withdrawn.version, now.version) == ("3", "2") and registry.champion("commands").digest == now.digest
    assert withdrawn.tags["withdrawn.reason"] == "too slow in the field" and withdrawn.withdrawn
    assert registry.rollback("commands")[1].version == "1"
    with pytest.raises(UserError, match="none before it"):
        registry.rollback("commands")
    assert registry.champion("commands").version == "1"
    with pytest.raises(UserError, match="no champion"):
        registry.rollback("others")


def test_a_version_may_be_champion_again_and_the_way_back_stays_right(shop):
    one, two = promoted("teacher"), promoted("student")
    assert registry.promote(one).version == "1" and registry.promote(one).version == "1"  # 1 2 1, the last twice
    assert [registry.rollback("commands")[1].version for _ in range(2)] == ["2", "1"]
    with pytest.raises(UserError, match="none before it"):
        registry.rollback("commands")
    with pytest.raises(registry.Refused, match="was withdrawn"):
        registry.promote(two)
    assert registered("student").aliases == ()  # nor does it wait to be promoted
    back = registry.promote(two, force=True, reason="the microphone was broken")
    assert back.aliases == ("champion",) and not back.withdrawn
    assert back.tags["forced"] == "the microphone was broken"
    assert registry.rollback("commands")[1].version == "1"


def test_a_decision_does_not_outlive_the_champion_that_it_is_about(shop):
    one, two, three = registered("teacher"), registered("student"), registered("slim")
    assert registry.promote(one, judged_against=None).aliases == ("champion",)
    for old in (None, three.digest):  # another was promoted since, or this one was rolled back to
        with pytest.raises(registry.ChampionChanged, match=f"now it is {one.digest[:12]}.*judged against that one"):
            registry.promote(two, judged_against=old)
    assert registry.champion("commands").version == one.version
    assert registry.promote(two, judged_against=one.digest).aliases == ("champion",)
    # What was killed after the alias was set is ended, and so is what only has to be put in place of a damaged copy.
    assert registry.promote(two, judged_against=one.digest).aliases == ("champion",)
    assert registry.promote(two, judged_against=two.digest).aliases == ("champion",)


def test_the_champion_is_looked_at_with_the_door_closed(shop, monkeypatch):
    """Else another could take its place between the look and the promotion."""
    from diminuendo.registry import promotion

    def look(*arguments):
        assert is_held(store.lock_of_store())
        looked.append(arguments)
        return True

    looked = []
    monkeypatch.setattr(promotion, "still_holds", look)
    registry.promote(registered("student"), judged_against=None)
    assert len(looked) == 1


def test_an_alias_set_by_hand_and_a_version_that_was_deleted(shop):
    for member in ("teacher", "student", "slim"):
        promoted(member)
    other = registered("student-int8")
    client().set_registered_model_alias("commands", "champion", other.version)
    client().delete_model_version("commands", "3")
    assert registry.rollback("commands")[1].version == "2"


class Killed(BaseException):
    pass


class Mortal:
    """A client whose process is killed before its n-th write."""

    WRITES = ("create_", "set_", "delete_", "update_", "log_")

    def __init__(self, real, left):
        self.real, self.left = real, left

    def __getattr__(self, name):
        if name.startswith(self.WRITES):
            self.left -= 1
            if self.left < 0:
                raise Killed
        return getattr(self.real, name)


def test_the_command_does_not_promote_over_a_champion_that_the_gate_did_not_see(shop, monkeypatch):
    promoted("teacher")
    other = registered("slim")

    def meanwhile(*arguments, **options):
        version = register(*arguments, **options)
        registry.promote(other)
        return version

    register = registry.register
    monkeypatch.setattr(registry, "register", meanwhile)
    result = CliRunner().invoke(main, ["promote"])
    assert result.exit_code == 1 and "was judged when the champion was" in result.stderr
    assert registry.champion("commands").version == other.version


@pytest.fixture
def killed(shop, monkeypatch):
    """Runs an action that is killed before its n-th write to the store; False if it has fewer."""
    from diminuendo.tracking import store as tracking_store

    real = tracking_store.open_client

    def run(writes, action, *arguments, **options) -> bool:
        found, experiment = real()
        monkeypatch.setattr(tracking_store, "open_client", lambda: (Mortal(found, writes), experiment))
        try:
            action(*arguments, **options)
            return False
        except Killed:
            return True
        finally:
            monkeypatch.setattr(tracking_store, "open_client", real)

    return run


def test_a_registration_that_was_killed_anywhere_is_completed_by_the_next(killed):
    logged.log_now(FILES["student"], "student", sha256_of(FILES["student"]), {})  # as after a run of the pipeline
    whole = registered("student", git_tag="week-1")
    for writes in itertools.count():
        name = f"model-{writes}"
        died = killed(writes, registered, "student", name, git_tag="week-1")
        version = registered("student", name, git_tag="week-1")
        assert len(registry.versions(name)) == 1 and version.aliases == ("challenger",)
        assert version.tags == whole.tags and version.run == whole.run
        assert client().get_model_version(name, "1").description
        if not died:
            break
    assert writes > 10


def test_a_promotion_or_rollback_that_was_killed_anywhere_is_completed_by_the_next(killed):
    one, two = promoted("teacher"), registered("student")
    forced = {"force": True, "reason": "again"}
    deaths = {"promotion": 0, "rollback": 0}
    for writes in range(10):
        if killed(writes, registry.promote, two, **forced):
            deaths["promotion"] += 1
            assert registry.champion("commands").version in ("1", "2")  # never none
        assert registry.promote(two, **forced).aliases == ("champion",)
        if killed(writes, registry.rollback, "commands", "again"):
            deaths["rollback"] += 1
            assert registry.champion("commands").version == "2"
            registry.rollback("commands", "again")
        assert registry.champion("commands").version == one.version
        with pytest.raises(UserError, match="none before it"):
            registry.rollback("commands")
    assert deaths == {"promotion": 7, "rollback": 4}


def test_a_copy_that_was_damaged_is_noticed_and_replaced(shop):
    promoted("student")
    (copy,) = Path("mlartifacts").rglob("model.onnx")
    copy.write_bytes(copy.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match=r"damaged in the artifact store.*reproduce --keep .* below \.work/reproduce"):
        registry.fetch("commands@champion", Path("out.onnx"))
    assert not Path("out.onnx").exists() and not list(Path().glob(".*download*"))
    version = promoted("student")
    assert version.version == "2" and registry.fetch("commands@champion", Path("out.onnx")).digest == version.digest
    assert sha256_of("out.onnx") == version.digest == resolve("commands@champion") == resolve("models:/commands/1")
    copy.unlink()
    with pytest.raises(UserError, match="cannot be read from the artifact store"):
        registry.fetch("commands/1", Path("out.onnx"))
    path = version.download(Path("kept"))
    assert path == Path("kept", f"{version.digest}.onnx") and sha256_of(path) == version.digest


def test_addresses():
    assert is_address("commands@champion") and is_address("models:/commands/12") and is_address("a.b-c/3")
    for text in ("commands", "models/student/model.onnx", "models:/m-123", "f" * 64, "a@b@c", "commands/latest", ""):
        assert not is_address(text), text
    assert parse("models:/commands@champion").alias == "champion" and parse("commands/3").version == "3"
    with pytest.raises(UserError, match="NAME@ALIAS"):
        resolve("commands")


def test_questions_never_make_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert registry.champion("commands") is None and registry.versions("commands") == []
    for question in (lambda: resolve("commands@champion"), lambda: registry.rollback("commands")):
        with pytest.raises(UserError, match="there is no tracking store"):
            question()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_away_is_one_message_without_its_password(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="the registry does not answer") as raised:
        registry.champion("commands")
    assert "secret" not in str(raised.value)


def test_only_one_writes_at_a_time(shop):
    """And the lock stands beside the database, only meanwhile."""
    with store.store():
        assert is_held(store.lock_of_store())
        assert store.lock_of_store().parent == sqlite_file(tracking_uri()).parent
    assert not store.lock_of_store().exists()


def test_the_lock_of_a_server_is_left_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(store.tempfile, "tempdir", str(tmp_path))
    assert store.lock_of_store().parent == tmp_path
    with pytest.raises(UserError, match="the registry does not answer"), store.store():
        pass
    assert not list(tmp_path.iterdir())


def test_a_store_where_nothing_can_be_written_is_one_message(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(UserError, match=r"mlflow\.db\.registry\.lock: cannot be made"), store.store():
        pass


def test_the_commands_as_a_user_types_them(shop):
    def run(*arguments):
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    Path("mlflow.db").rename("away.db")
    for more in ((), ("--json",)):
        status, out, err = run("registry", *more)
        assert (status, out) == (2, "") and "there is no tracking store, and so no registry" in err
    assert not Path("mlflow.db").exists()
    Path("away.db").rename("mlflow.db")
    assert "nothing is registered yet" in run("registry")[1]
    assert run("promote", "--challenger")[1].endswith("models:/commands/1 (student) is now challenger\n")
    status, out, _ = run("promote", "--card", "card.md")
    assert status == 0 and out.endswith("models:/commands/1 (student) is now champion\n")
    assert Path("card.md").read_text().startswith("# commands: student")
    assert run("promote", "--git-tag", "week-1")[1] == "student is the champion already: models:/commands/1\n"
    assert registry.champion("commands").git_tag == "week-1"
    assert run("promote")[0] == 0 and registry.champion("commands").git_tag == "week-1"
    status, out, _ = run("promote", "slim")
    assert status == 1 and "slim is refused" in out and len(registry.versions("commands")) == 1
    assert run("promote", "slim", "--force")[0] == 2  # without a reason
    assert run("promote", "slim", "--force", "--reason", "try it")[1].endswith(
        "models:/commands/2 (slim) is now champion\n"
    )
    assert registry.champion("commands").gate_run
    status, out, _ = run("rollback", "--reason", "it mixes up vowels")
    assert status == 0 and "models:/commands/1 (student" in out
    table = run("registry")[1]
    assert "withdrawn" in table and "it mixes up vowels" in table and "champion" in table
    assert '"aliases": [\n   "champion"\n  ]' in run("registry", "--json")[1]
    status, out, err = run("rollback")
    assert status == 2 and "none before it" in err
    assert run("fetch", "commands@champion", "out/model.onnx")[0] == 0
    assert sha256_of("out/model.onnx") == sha256_of(FILES["student"])
    assert run("fetch", "commands@nobody", "out.onnx")[0] == 2
