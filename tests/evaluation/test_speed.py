"""Which members are measured again, with measuring processes that only count; and a real run beside an earlier one."""

import json
from types import SimpleNamespace

import pytest

from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.core.files import sha256_of, write_json
from diminuendo.evaluation import speed
from tests.factories.evaluation import small_family, spoken_corpus
from tests.factories.onnx_models import write_model

CONFIG = EvaluateConfig(bootstrap_samples=10, confidence=0.95, group_by=(), timing_utterances=3, timing_repeats=2)
CORPUS = SimpleNamespace(digest="c" * 64, folder="corpus")
DIGESTS = {"teacher": "t1", "student": "s1", "slim": "l1"}


@pytest.fixture
def measured(monkeypatch):
    """The members of each run; each run takes a second longer than the one before."""
    runs = []

    def measure(models, corpus, config, threads, say):
        runs.append(list(models))
        times = {str(count): {"real_time_factor": float(len(runs))} for count in threads}
        facts = {"machine": speed.machine_of(threads), "threads": list(threads), "utterances": 3, "seconds": 9.0}
        members = {name: {**times, "peak_bytes": 1000 * len(runs)} for name in models}
        return {**facts, "repeats": 2, "members": members}

    monkeypatch.setattr(speed, "_measure", measure)
    return runs


@pytest.fixture
def evaluate(tmp_path):
    """Measure a family of these digests, with what the last call left as the earlier evaluation."""

    def run(digests=DIGESTS, corpus=CORPUS, config=CONFIG, say=lambda line: None):
        models = {name: tmp_path / name for name in digests}
        found = speed.measure_speed(models, digests, corpus, config, say, tmp_path / speed.TIMING)
        write_json(tmp_path / speed.TIMING, found)
        return found

    return run


def test_nothing_is_measured_again_where_nothing_changed(measured, evaluate):
    said = []
    first = evaluate()
    assert evaluate(say=said.append) == first
    assert measured == [["teacher", "student", "slim"]]
    assert said[0].startswith("teacher, student, slim: the same file") and len(said) == 1
    assert list(first["runs"]) == [first["members"]["student"]["run"]]


def test_a_changed_member_is_measured_beside_the_teacher_and_the_others_keep_their_figures(measured, evaluate):
    first = evaluate()
    second = evaluate({**DIGESTS, "student": "s2"})
    assert measured[1:] == [["teacher", "student"]]
    assert second["members"]["slim"] == first["members"]["slim"]
    assert second["members"]["teacher"] == first["members"]["teacher"]
    assert second["members"]["student"]["1"]["real_time_factor"] == 2.0
    assert second["members"]["student"]["peak_bytes"] == 2000 and second["members"]["student"]["model"] == "s2"
    old, new = (second["runs"][second["members"][name]["run"]] for name in ("teacher", "student"))
    assert (old["members"], new["members"]) == (["teacher", "slim"], ["student"])
    assert old["teacher"]["1"]["real_time_factor"] == 1.0 and new["teacher"]["1"]["real_time_factor"] == 2.0
    third = evaluate({**DIGESTS, "student": "s2", "slim": "l2", "new": "n1"})
    assert measured[2:] == [["teacher", "slim", "new"]]
    members = sorted(run["members"] for run in third["runs"].values())
    assert members == [["slim", "new"], ["student"], ["teacher"]]


def test_a_run_is_forgotten_with_the_last_of_its_members(measured, evaluate):
    evaluate()
    evaluate({**DIGESTS, "student": "s2"})
    assert len(evaluate({**DIGESTS, "student": "s3"})["runs"]) == 2
    assert list(evaluate({name: DIGESTS[name] for name in ("teacher", "slim")})["members"]) == ["teacher", "slim"]
    assert len(measured) == 3


def other(**changed):
    return CONFIG.model_copy(update=changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"digests": {**DIGESTS, "teacher": "t2"}},
        {"corpus": SimpleNamespace(digest="d" * 64, folder="corpus")},
        {"config": other(timing_repeats=3)},
        {"config": other(timing_utterances=2)},
        {"config": other(confidence=0.9)},
    ],
    ids=["teacher", "corpus", "repeats", "utterances", "confidence"],
)
def test_all_are_measured_again_under_other_conditions(measured, evaluate, changed):
    evaluate()
    evaluate(**changed)
    assert measured == [["teacher", "student", "slim"]] * 2


@pytest.mark.parametrize("name", ["machine_of", "reachable_digest", "available_cores"])
def test_all_are_measured_again_on_another_machine_or_with_other_code(measured, evaluate, monkeypatch, name):
    evaluate()
    answer = {"machine_of": {"processor": "another"}, "reachable_digest": "0" * 64, "available_cores": 64}[name]
    monkeypatch.setattr(speed, name, lambda *_: answer)
    evaluate()
    assert len(measured) == 2


def test_settings_that_do_not_time_measure_nothing_again(measured, evaluate):
    evaluate()
    evaluate(config=other(bootstrap_samples=99, group_by=("speaker",)))
    assert len(measured) == 1


@pytest.mark.parametrize("damage", ["edited", "cut short", "of an earlier version", "a list"])
def test_figures_that_are_not_as_they_were_written_are_not_taken_over(measured, evaluate, tmp_path, damage):
    evaluate()
    path = tmp_path / speed.TIMING
    stored = json.loads(path.read_text())
    if damage == "edited":
        stored["members"]["student"]["1"]["real_time_factor"] = 0.001
        path.write_text(json.dumps(stored))
    elif damage == "cut short":
        path.write_text(path.read_text()[:-20])
    else:
        del stored["digest"]
        path.write_text(json.dumps(stored if damage != "a list" else [stored]))
    evaluate()
    assert len(measured) == 2


def test_real_processes_measure_the_changed_file_alone(tmp_path):
    corpus, folders = spoken_corpus(tmp_path / "corpus"), small_family(tmp_path / "models")
    files = {name: folder / "model.onnx" for name, folder in folders.items()}
    said: list[str] = []

    def measure(earlier=None):
        digests = {name: sha256_of(path) for name, path in files.items()}
        return speed.measure_speed(files, digests, corpus, CONFIG, said.append, earlier)

    first = measure()
    assert said == ["timing 4 models, 2 × 3 utterances each"]
    assert all(found["peak_bytes"] > 0 for found in first["members"].values())
    write_json(tmp_path / speed.TIMING, first)
    write_model(tmp_path / "changed.onnx", "student", width=64)
    files["student"] = tmp_path / "changed.onnx"
    second = measure(tmp_path / speed.TIMING)
    assert said[-1] == "timing 2 models, 2 × 3 utterances each"
    assert {name for name in files if second["members"][name] != first["members"][name]} == {"student"}
    run = second["members"]["student"]["run"]
    assert second["runs"][run]["members"] == ["student"]
    # The ratio is to the teacher of its own run.
    own, teacher = second["members"]["student"]["1"], second["runs"][run]["teacher"]["1"]
    assert teacher["times_faster"] == 1.0 and teacher != first["members"]["teacher"]["1"]
    assert own["times_faster"] == pytest.approx(teacher["real_time_factor"] / own["real_time_factor"], rel=0.5)
