import os
import shutil
import sys
from pathlib import Path

import pytest

from flows.healing import DAMAGED_STATUS, describe, heal, run_verified
from flows.verification import verify
from tests.factories.project import make_project, run

REPRO = (sys.executable, "-m", "flows.repro")
OFF = {"DIMINUENDO_TRACKING": "off"}

# A family in milliseconds: its stages write what real ones do, records included, the same bytes every time. Only the
# evaluation measures something: its number grows with every run.
STAGE = """
import shutil, sys
from pathlib import Path
from diminuendo.core.files import fresh_folder, digest_of_json, sha256_of, write_json
from diminuendo.artifact.lineage import write_record
TABLE = "member,wer,bytes,times_smaller,real_time_factor,times_faster,digest\\n" + "a,1,2,3,4,5,6\\n" * 100
name, path = sys.argv[1], Path(sys.argv[2])
with open("runs", "a") as runs:
    runs.write(name + "\\n")
with fresh_folder(path) as out:
    if name == "prepare":
        for number in range(3):
            (out / f"{number}.wav").write_bytes(bytes([number]) * 50_000)
        whole = {"files": {file.name: sha256_of(file) for file in out.iterdir()}}
        write_json(out / "corpus.json", {**whole, "digest": digest_of_json(whole)})
    else:
        files = {"evaluate": ["hypotheses.jsonl", "timing.json"], "report": ["leaderboard.csv"]}
        for file in files.get(name, ["model.onnx", "tokens.txt"]):
            salt = "" if file == "tokens.txt" else name
            salt += Path("runs").read_text() if file == "timing.json" else ""
            (out / file).write_text(TABLE if name == "report" else f"{salt} {file}\\n" * 1000)
        if name != "report":  # of files without a record DVC's digests are all there is
            write_record(out, {"stage": name})
"""
YAML = """
stages:
  prepare:
    cmd: python stage.py prepare data/prepared
    deps: [source]
    outs: [data/prepared]
  train_teacher:
    cmd: python stage.py train_teacher models/teacher
    deps: [data/prepared]
    outs: [models/teacher]
  distill:
    foreach: {student: 1}
    do:
      cmd: python stage.py ${key} models/${key}
      deps: [models/teacher]
      outs: ["models/${key}"]
  evaluate:
    cmd: python stage.py evaluate evaluation
    deps: [models]
    outs: [evaluation: {persist: true}]
  report:
    cmd: python stage.py report reports
    deps: [evaluation]
    outs: [reports]
"""
STAGES = ["prepare", "train_teacher", "student", "evaluate", "report"]
FILES = [
    "models/teacher/model.onnx",
    "models/student/lineage.json",
    "data/prepared/1.wav",
    "data/prepared/corpus.json",
    "evaluation/hypotheses.jsonl",
    "evaluation/timing.json",
    "reports/leaderboard.csv",
]
MAKER = {"models/teacher": "train_teacher", "models/student": "student", "data/prepared": "prepare"}
MAKER |= {"evaluation": "evaluate", "reports": "report"}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("template") / "p"
    root.mkdir()
    (root / "stage.py").write_text(STAGE)
    make_project(root, YAML)
    run(root, sys.executable, "-m", "dvc", "repro", "-q", PYTHONPATH=str(root))
    return root


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    """A family that is up to date; the working directory is there."""
    root = tmp_path / "p"
    run(tmp_path, "cp", "-a", str(template), str(root))
    monkeypatch.chdir(root)
    assert (root / "runs").read_text().split() == STAGES
    return root


def dvc_repro(root):
    return run(root, sys.executable, "-m", "dvc", "repro", PYTHONPATH=str(root))


def rot(path, keep=True):
    """Flip a bit in place; size and inode stay, and the times too."""
    times, mode = path.stat(), path.stat().st_mode
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.seek(1000 if times.st_size > 1000 else 10)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    path.chmod(mode)
    if keep:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def object_of(root, path):
    report = verify(root)
    output = next(one for one in report.outputs if Path(path).is_relative_to(one.entry.path))
    return report.cache.object(output.listing[str(Path(path).relative_to(output.entry.path))])


def content(root):
    outputs = [root / output for output in MAKER]
    return {str(file.relative_to(root)): file.read_bytes() for one in outputs for file in sorted(one.rglob("*"))}


def ran(root):
    return (root / "runs").read_text().split()[len(STAGES) :]


def repro(root, **options):
    return run(root, *REPRO, PYTHONPATH=str(root), **OFF, **options)


def test_a_whole_family_is_verified_and_nothing_is_said_to_be_damaged(project):
    report = verify(project)
    assert not report.damages and report.files == len(content(project)) == 14
    assert str(report).startswith("14 files (0 MB) verified in ")
    assert not verify(project, complete=False, settled=False).damages


def test_rot_that_dvc_does_not_see_is_found_and_taken_back_from_its_cache(project):
    before, kept = content(project), (project / "dvc.lock").read_bytes()
    dvc_repro(project)  # DVC knows these inodes now
    for path in FILES:
        rot(project / path)
    said = dvc_repro(project).stdout
    assert said.count("didn't change") == len(STAGES) and content(project) != before
    done = repro(project)
    for path in FILES:
        assert f"{path} is damaged, DVC's copy is whole: it takes its place" in done.stderr
    assert "verified in" in done.stderr and "done in" in done.stdout
    assert content(project) == before and (project / "dvc.lock").read_bytes() == kept and not ran(project)


@pytest.mark.parametrize("paths", [FILES[0::3], FILES[1::3], FILES[2::3]])
def test_what_is_damaged_in_the_cache_too_is_made_again(project, paths):
    before = content(project)
    dvc_repro(project)
    outputs = [str(next(one for one in MAKER if Path(path).is_relative_to(one))) for path in paths]
    objects = [object_of(project, path) for path in paths]
    for path in [*objects, *(project / path for path in paths)]:
        rot(path)
    done = repro(project)
    for path, output in zip(paths, outputs):
        stage = "distill@student" if output == "models/student" else MAKER[output]
        assert f"{path} is damaged, DVC's copy is damaged: {output} is removed and {stage} makes it" in done.stderr
    after = content(project)
    measured = {"evaluation/timing.json", "evaluation/lineage.json"} if "evaluation" in outputs else set()
    assert {name for name in before if before[name] != after[name]} <= measured and before.keys() == after.keys()
    made = {MAKER[output] for output in outputs}
    assert made <= set(ran(project)) <= {*made, "report"}  # all else is as it was
    assert not verify(project).damages
    assert all(object_of(project, path).read_bytes() == after[path] for path in paths)


def test_a_damaged_object_that_was_checked_out_is_found(project):
    before = content(project)
    rot(object_of(project, "models/teacher/model.onnx"))
    shutil.rmtree(project / "models/teacher")
    run(project, sys.executable, "-m", "dvc", "checkout", "models/teacher")
    assert content(project) != before
    repro(project)
    assert content(project) == before and ran(project) == ["train_teacher"]


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_where_the_cache_is_linked_into_the_workspace_rot_is_in_both(project, kind):
    before = content(project)
    run(project, sys.executable, "-m", "dvc", "config", "cache.type", kind)
    run(project, sys.executable, "-m", "dvc", "checkout", "--relink")
    dvc_repro(project)
    rot((project / "models/teacher/model.onnx").resolve())
    repro(project)
    assert content(project) == before and ran(project) == ["train_teacher"]


def test_a_damaged_object_beside_is_not_checked_out_over_what_was_made_again(project):
    """DVC adds no object that is there: the damaged one would come back into the workspace."""
    before = content(project)
    for name in ("model.onnx", "lineage.json"):
        rot(object_of(project, f"models/student/{name}"))
    rot(project / "models/student/model.onnx")
    heal(verify(project))
    dvc_repro(project)
    assert not verify(project).damages and content(project) == before
    assert object_of(project, "models/student/lineage.json").read_bytes() == before["models/student/lineage.json"]


def test_an_object_that_others_share_is_not_lost_to_them(project):
    """`tokens.txt` is the same in both models: the student's is the whole copy, and the teacher alone is mended."""
    before = content(project)
    rot(object_of(project, "models/teacher/tokens.txt"))
    rot(project / "models/teacher/tokens.txt")
    done = repro(project)
    assert "models/student/tokens.txt, which is the same, takes its place" in done.stderr
    assert content(project) == before and not ran(project)
    assert object_of(project, "models/teacher/tokens.txt").read_bytes() == before["models/teacher/tokens.txt"]


def test_a_whole_object_is_never_removed(project):
    objects = {path: path.read_bytes() for path in (project / ".dvc/cache/files").rglob("*") if path.is_file()}
    bad = object_of(project, "models/teacher/model.onnx")
    rot(bad)
    rot(project / "models/teacher/model.onnx")
    rot(project / "reports/leaderboard.csv")
    assert heal(verify(project)) == ["models/teacher"]
    left = {path: path.read_bytes() for path in (project / ".dvc/cache/files").rglob("*") if path.is_file()}
    assert left == {path: content for path, content in objects.items() if path != bad}


def test_what_is_missing_comes_back(project):
    before = content(project)
    (project / "models/teacher/model.onnx").unlink()
    (damage,) = verify(project).damages
    assert damage.state == "missing" and damage.cached == "whole"
    shutil.rmtree(project / "reports")
    assert {damage.entry.path for damage in verify(project).damages} == {"models/teacher", "reports"}
    assert {damage.entry.path for damage in verify(project, complete=False).damages} == {"models/teacher"}
    assert heal(verify(project)) == [] and content(project) == before
    dvc_repro(project)
    assert not ran(project)


def test_a_damaged_list_of_files_is_written_again(project):
    """DVC would take the folder for changed, run its stage, and leave the list as it is: at every run."""
    entry = next(one.entry for one in verify(project).outputs if one.entry.path == "models/teacher")
    path = verify(project).cache.object(entry.md5)
    whole = path.read_bytes()
    rot(path)
    (damage,) = verify(project).damages
    assert "DVC's list of the files of models/teacher; it is written again" in str(damage)
    assert heal(verify(project)) == [] and path.read_bytes() == whole
    rot(path)
    rot(project / "models/teacher/model.onnx")  # now nothing says which file it is
    assert heal(verify(project)) == ["models/teacher"] and not path.exists()
    dvc_repro(project)
    assert path.read_bytes() == whole and not verify(project).damages and ran(project) == ["train_teacher"]


@pytest.mark.parametrize("name", ["model.onnx", "lineage.json"])
def test_rot_that_was_taken_into_dvc_lock_is_told_by_the_record(project, name):
    """A file that changed between the end of its stage and DVC's look at it: DVC's digest is that of the rot."""
    before = content(project)
    rot(project / "models/teacher" / name, keep=False)
    run(project, sys.executable, "-m", "dvc", "commit", "-f", "models/teacher")
    (damage,) = verify(project).damages
    assert damage.path.name == name and damage.cached == "damaged" and damage.remake
    repro(project)
    assert content(project)[f"models/teacher/{name}"] == before[f"models/teacher/{name}"]
    assert not verify(project).damages


def test_a_new_result_that_dvc_has_not_written_down_is_no_damage(project):
    """Killed between the end of a stage and `dvc.lock`; or stages after it failed."""
    (project / "source").write_text("2\n")
    lock = (project / "dvc.lock").read_bytes()
    (project / "stage.py").write_text(STAGE.replace("50_000", "60_000"))
    run(project, sys.executable, "stage.py", "prepare", "data/prepared", PYTHONPATH=str(project))
    assert (project / "dvc.lock").read_bytes() == lock
    assert not verify(project, complete=False, settled=False).damages
    rot(project / "data/prepared/0.wav")
    assert [damage.path.name for damage in verify(project, complete=False, settled=False).damages] == ["0.wav"]


def test_a_member_that_was_taken_out_is_not_asked_for(project):
    shutil.rmtree(project / "models/student")
    assert not verify(project, members=["teacher"]).damages
    assert verify(project, members=["teacher", "student"]).damages
    (project / "dvc.yaml").write_text(YAML.replace("distill:", "prune:"))
    assert not verify(project).damages  # the stage is gone, its entry in dvc.lock is not


def test_a_stage_that_refuses_damaged_input_gets_it_whole(project):
    before = content(project)
    rot(project / "models/teacher/model.onnx")
    statuses, said = [2, 0], []
    status = run_verified(
        lambda: statuses.pop(0), lambda ok: [verify(project, complete=ok, settled=ok)], say=said.append
    )
    assert status == 0 and content(project) == before and "verified in" in said[-1]
    statuses = [2]  # a failure of another kind is not repeated
    assert run_verified(lambda: statuses.pop(), lambda ok: [verify(project, settled=ok)], said.append) == 2


def test_what_stays_damaged_is_an_error(project):
    def run_and_spoil():
        rot(project / "models/teacher/model.onnx")
        return 0

    said = []
    assert run_verified(run_and_spoil, lambda ok: [verify(project)], said.append) == DAMAGED_STATUS
    assert said[-1].startswith("error: ")


def test_words_are_few_where_much_is_damaged(project, monkeypatch):
    monkeypatch.setattr("flows.healing.MOST_WORDS", 2)
    shutil.rmtree(project / "models/teacher")
    rot(project / "models/student/model.onnx")
    describe(verify(project), (said := []).append)
    assert len(said) == 2 + 1 + 1 and f"{project / 'models/teacher'}: and 1 more" in said
