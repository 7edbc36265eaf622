"""The gate on real files in real processes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from diminuendo.artifact.lineage import write_record
from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.gate import gate, measure
from diminuendo.gate.inputs import find_teacher, member_or_file, open_model
from diminuendo.gate.table import markdown, terminal
from diminuendo.registry.logged import fetch_logged, log_now
from tests.factories.evaluation import TEXTS
from tests.factories.shipping import params, write_member

WORDS = [word for text in TEXTS for word in text.split()]
PREPARED = {"prepared": Path("data/prepared")}


def silent(_line: str) -> None:
    pass


def judged(candidate, tests=PREPARED, champion=None, settings=None, **more):
    return gate(
        settings or params(), Path(candidate), tests=tests, champion=champion, fetch=fetch_logged, say=silent, **more
    )


def figure(decision, reference, name, test="prepared"):
    (rule,) = [
        rule for rule in decision.rules if (rule.reference, rule.name) == (reference, name) and rule.test == test
    ]
    return rule.figure


@pytest.fixture
def started(monkeypatch):
    """The measuring processes that were started."""
    modules = []
    run = measure.run_module

    def record(module, arguments):
        modules.append((module.rsplit(".", 1)[1], *arguments[:2]))
        run(module, arguments)

    monkeypatch.setattr(measure, "run_module", record)
    return modules


def runs():
    from diminuendo.tracking.store import open_client

    client, experiment = open_client()
    return client, client.search_runs([experiment])


def test_a_decision_rests_on_measured_files_is_recorded_and_a_rerun_measures_nothing_twice(shop, started, tmp_path):
    wrong = sum(bool(set(word) & set("ao")) for word in WORDS) / len(WORDS)
    tests = {"new": Path("data/quizzes"), **PREPARED}
    first = judged("models/slim/model.onnx", tests, champion=Path("models/student-int8/model.onnx"))
    assert figure(first, "teacher", "wer") == figure(first, "champion", "wer") == pytest.approx(wrong)
    in_quizzes = next(test for test in first.tests if test.label == "new").figures
    assert in_quizzes["champion"]["wer"] == pytest.approx(4 / 10)  # quiet, jazz, zoom, quiz
    assert in_quizzes["teacher"]["wer"] == 0
    assert not first.passed and {rule.name for rule in first.refusals} >= {"wer", "group_wer"}
    assert len([call for call in started if call[0] == "accuracy"]) == 6

    client, (run,) = runs()
    assert first.run == run.info.run_id and run.info.run_name == "gate refused slim" and run.info.status == "FAILED"
    tags = run.data.tags
    assert tags["stage"] == "gate" and tags["member"] == "slim" and tags["decision"] == "refused"
    assert "WER" in tags["refused"] and tags["error"].startswith("slim is refused: ")
    assert tags["mlflow.note.content"].startswith("# slim is refused: ")
    assert tags["input.candidate"] == sha256_of("models/slim/model.onnx") and "output" not in tags
    assert tags["input.champion"] == sha256_of("models/student-int8/model.onnx")
    assert run.data.metrics["teacher/wer/prepared"] == pytest.approx(wrong)
    assert run.data.metrics["champion/real_time_factor"] > 0
    assert run.data.metrics["teacher/wer/prepared/upper"] > wrong
    stored = Path(client.download_artifacts(run.info.run_id, "decision.json", str(tmp_path)))
    assert json.loads(stored.read_text()) == json.loads(json.dumps(first.as_dict()))
    page = Path(client.download_artifacts(run.info.run_id, "decision.md", str(tmp_path))).read_text()
    assert page.startswith("# slim is refused: ") and "| ΔWER, worst group" in page

    started.clear()
    second = judged("models/slim/model.onnx", tests, champion=Path("models/student-int8/model.onnx"))
    assert [call[0] for call in started] == ["timing"]
    timed = {"speed", "rules"}
    one, two = first.as_dict(), second.as_dict()
    assert {key: one[key] for key in one.keys() - timed} == {key: two[key] for key in two.keys() - timed}
    still = [rule for rule in one["rules"] if rule["name"] != "real_time_factor"]
    assert still == [rule for rule in two["rules"] if rule["name"] != "real_time_factor"]


@pytest.mark.parametrize("reference", ["teacher", "champion"])
@pytest.mark.parametrize("name", ["wer", "group_wer", "deletions", "insertions"])
def test_a_growth_that_lets_anything_pass_is_refused_before_anything_is_measured(reference, name):
    settings = params()
    limits = getattr(settings.gate, reference).model_copy(update={name: 1.0})  # what YAML's `true` becomes
    settings = settings.model_copy(update={"gate": settings.gate.model_copy(update={reference: limits})})
    with pytest.raises(UserError, match=f"gate.{reference}.{name}: 1 .or true. lets anything pass"):
        judged("nowhere.onnx", settings=settings)


def test_hypotheses_of_the_pipeline_are_used_while_they_are_current(shop, started):
    for member in ("teacher", "student"):
        Path("evaluation", member).mkdir(parents=True)
        measure.run_module(
            "diminuendo.evaluation.accuracy", [f"models/{member}/model.onnx", "data/prepared", f"evaluation/{member}"]
        )
    started.clear()
    assert judged("models/student/model.onnx").passed
    assert [call[0] for call in started] == ["timing"]
    lines = Path("evaluation/teacher/hypotheses.jsonl")
    lines.write_text(lines.read_text().replace('"deletions": 0', '"deletions": 1', 1))  # not what was measured
    started.clear()
    assert figure(judged("models/student/model.onnx"), "teacher", "wer") == 0
    assert [call[:2] for call in started] == [("accuracy", "models/teacher/model.onnx"), ("timing", started[-1][1])]


def test_damage_is_found_before_anything_is_measured(shop, started):
    write_record(Path("models/student"), open_model(Path("models/student/model.onnx")).lineage)
    for path in ("data/prepared/audio/test-000.wav", "data/prepared/corpus.json", "models/student/model.onnx"):
        whole = Path(path).read_bytes()
        half = len(whole) // 2
        Path(path).write_bytes(whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
        with pytest.raises(UserError, match=Path(path).name):
            judged("models/student/model.onnx")
        Path(path).write_bytes(whole)
    with pytest.raises(UserError, match="gate: missing"):
        judged("models/student/model.onnx", settings=params().model_copy(update={"gate": None}))
    with pytest.raises(UserError, match="there is no such model file"):
        judged("models/nobody/model.onnx")
    assert started == []


def test_the_teacher_is_the_one_that_the_lineage_names(shop, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "copied.onnx"
    elsewhere.parent.mkdir()
    shutil.copy("models/student/model.onnx", elsewhere)
    found = find_teacher(open_model(elsewhere), tmp_path / "work", fetch_logged)
    assert found.path == Path("models/teacher/model.onnx")
    assert find_teacher(found, tmp_path / "work", fetch_logged) == found  # its own
    write_member(Path("models"), "teacher", width=48)  # trained anew since
    with pytest.raises(UserError, match=r"its teacher .* is not at hand.*--teacher FILE"):
        find_teacher(open_model(elsewhere), tmp_path / "work", fetch_logged)
    kept = write_member(tmp_path / "kept", "teacher")  # the same bytes as the one before
    log_now(kept, "teacher", sha256_of(kept), {})
    again = find_teacher(open_model(elsewhere), tmp_path / "work", fetch_logged)
    assert again.digest == found.digest and tmp_path / "work" in again.path.parents


def test_the_same_test_set_under_two_labels_is_judged_once(shop):
    shutil.copytree("data/prepared", "data/old")
    given = {"champion": Path("data/old"), "new": Path("data/prepared"), "quizzes": Path("data/quizzes")}
    assert list(measure.open_tests(given)) == ["champion", "quizzes"]
    with pytest.raises(UserError, match="no test set"):
        measure.open_tests({})


def test_the_command_answers_by_its_exit_status(shop):
    def run(*arguments):
        result = CliRunner().invoke(main, ["gate", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    status, out, _ = run()
    assert status == 0 and "no champion yet" in out and out.endswith("student passes the gate\n")
    status, out, _ = run("slim", "--json", "--champion", "none")
    answer = json.loads(out)
    assert status == 1 and answer["decision"] == "refused" and answer["candidate"]["name"] == "slim" and answer["run"]
    for arguments in (["nobody"], ["models/slim"], ["--test", "data"], ["--champion", "no.onnx"], ["params.yaml"]):
        status, out, err = run(*arguments)
        assert status == 2 and err.splitlines()[-1].startswith("error: ") and out == "", arguments
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("bytes: 60000", "bytes: -1"))
    assert run()[0] == 2


def test_too_little_evidence_in_any_test_set_refuses_what_makes_no_error(shop):
    tests = {"new": Path("data/prepared"), "champion": Path("data/quizzes")}
    decision = judged("models/student/model.onnx", tests, settings=params(min_utterances=5, min_speakers=3))
    few = {("champion", "utterances"), ("new", "speakers"), ("champion", "speakers")}
    assert {(rule.test, rule.name) for rule in decision.refusals} == few
    assert terminal(decision).endswith("student is refused: too few test speakers; too few test utterances")
    assert "lower gate.min_utterances knowingly" in terminal(decision) and "| ≥ 5 | TOO FEW" in squeezed(decision)
    _, (run,) = runs()
    assert run.data.metrics["evidence/utterances/champion"] == 4 and run.data.metrics["file/wer/new"] == 0


def test_the_unit_is_told_wherever_the_figures_are(shop):
    settings = params()
    by_characters = settings.evaluate.model_copy(update={"measure": "cer"})
    decision = judged("models/slim/model.onnx", settings=settings.model_copy(update={"evaluate": by_characters}))
    (test,) = decision.tests
    wrong = sum(letter in "ao" for text in TEXTS for letter in text) / sum(map(len, TEXTS))
    assert test.unit == decision.as_dict()["tests"][0]["unit"] == "characters"
    assert figure(decision, "file", "cer") == figure(decision, "teacher", "cer") == pytest.approx(wrong)
    table = terminal(decision)
    assert f"CER: candidate {100 * wrong:.2f} %" in table and "ΔCER, worst group" in table and "ΔWER" not in table
    assert "Errors are counted in characters, not words, on: prepared." in table
    substituted = test.figures["candidate"]["character_substitutions"]
    assert f"| CER | {100 * wrong:.2f} |" in squeezed(decision) and f"| {substituted}/0/0 |" in squeezed(decision)
    _, (run,) = runs()
    assert run.data.metrics["teacher/cer/prepared"] == pytest.approx(wrong)
    assert "teacher/character_deletions/prepared" in run.data.metrics
    assert not any("/wer" in name or "/deletions" in name for name in run.data.metrics)


def squeezed(decision):
    return re.sub(" +", " ", markdown(decision))


def test_a_member_or_a_file():
    members = ["teacher", "student"]
    assert member_or_file("student", members) == Path("models/student/model.onnx")
    assert member_or_file("x.onnx", members) == Path("x.onnx")
    with pytest.raises(UserError, match="members: teacher, student"):
        member_or_file("studen", members)
