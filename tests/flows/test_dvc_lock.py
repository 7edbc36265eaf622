import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flows import dvc_lock
from tests.factories.project import environment, make_project, run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")

DVC = (sys.executable, "-m", "flows.dvc_command")
REPRO = (sys.executable, "-m", "flows.repro")
OURS = "import sys; from flows.dvc_command import run_dvc; sys.exit(run_dvc(['repro', 'slow', 'quick']))"
OFF = {"DIMINUENDO_TRACKING": "off"}

# Each writes down that it runs; "slow" then waits for the file "go".
YAML = """
stages:
  slow:
    cmd: echo $$ >> runs && while ! test -e go; do sleep 0.1; done; mkdir -p models/slow && echo 1 > models/slow/m
    deps: [source]
    outs: [models/slow]
  quick:
    cmd: mkdir -p models/quick && echo 2 > models/quick/m
    deps: [source]
    outs: [models/quick]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("template") / "p", YAML)


@pytest.fixture
def project(template, tmp_path):
    run(tmp_path, "cp", "-r", str(template), str(tmp_path / "p"))
    (tmp_path / "p/.dvc/tmp").mkdir(exist_ok=True)
    return tmp_path / "p"


@contextmanager
def started(project, *command, **options):
    """A command in a session of its own, all of which is ended in the end; its output is in the file ``<name>.log``."""
    log = project.parent / f"{time.monotonic_ns()}.log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            command, cwd=project, env=environment(**OFF), stdout=file, stderr=file, start_new_session=True, **options
        )
    process.log = log
    try:
        yield process
    finally:
        for child in [process.pid, *below(process.pid)]:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def below(pid):
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def write_rwlock(project, *holders, path="models/slow", mode="write"):
    """Entries as DVC writes them, of ``(pid, command)``; the path is that of an output."""
    infos = [{"pid": pid, "cmd": command} for pid, command in holders]
    content = {"write": {}, "read": {}}
    content[mode] = {str(project / path): infos[0] if mode == "write" else infos}
    (project / ".dvc/tmp/rwlock").write_text(json.dumps(content))


def rwlock(project):
    return json.loads((project / ".dvc/tmp/rwlock").read_text())


@contextmanager
def zombie():
    child = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    yield child.pid
    child.wait()


@contextmanager
def sleeper(*words, cwd=None):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words], cwd=cwd)
    yield child.pid
    child.kill()
    child.wait()


@contextmanager
def dead():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    yield child.pid


STALE = {
    "dead": (lambda project: dead(), "/bin/dvc repro"),
    "zombie": (lambda project: zombie(), "/bin/dvc repro"),
    "the id of another program": (lambda project: sleeper(cwd=project), "/bin/dvc repro"),
    "the id of another dvc": (lambda project: sleeper("repro", "other", cwd=project), "-c repro"),
    "a dvc of another repository": (lambda project: sleeper("repro", cwd="/"), "-c repro"),
}


@pytest.mark.parametrize("kind", STALE)
@pytest.mark.parametrize("mode", ["write", "read"])
def test_what_a_killed_process_left_is_removed(project, kind, mode):
    make, command = STALE[kind]
    with make(project) as pid:
        write_rwlock(project, (pid, command), mode=mode)
        dvc_lock.heal(project)
    assert rwlock(project) == {"write": {}, "read": {}}


@pytest.mark.parametrize(
    ("line", "recorded"),
    [
        (["python", "/venv/bin/dvc", "repro", "-f"], "/venv/bin/dvc repro -f"),
        (["python", "-m", "dvc", "repro"], "/venv/site-packages/dvc/__main__.py repro"),
        (["python", "-m", "flows.dvc_command", "repro", "x"], "/a folder/flows/dvc_command.py repro x"),
        (["python", "/a folder/dvc", "repro", "x y"], "/a folder/dvc repro x y"),
        (["python", "-m", "flows.with_server", "flows.pipeline", "--jobs", "2"], "flows.pipeline --jobs 2"),
    ],
)
def test_a_living_dvc_keeps_its_entries_however_it_was_started(line, recorded):
    assert dvc_lock._is_command(recorded, line)
    assert not dvc_lock._is_command(recorded, ["sleep", "600"])
    assert not dvc_lock._is_command(recorded, [*line, "other"])


def test_only_what_is_dead_is_removed(project):
    with dead() as gone, sleeper("repro", cwd=project) as alive:
        write_rwlock(project, (gone, "dvc repro"), (alive, "-c repro"), mode="read")
        dvc_lock.heal(project)
        assert [info["pid"] for info in rwlock(project)["read"][str(project / "models/slow")]] == [alive]


def test_a_process_that_is_just_being_started_is_alive(project, monkeypatch):
    """In the midst of ``exec`` a process has no command line yet."""
    whole, looks = psutil.Process.cmdline, []

    def late(process):
        looks.append(process)
        return [] if len(looks) < 3 else whole(process)

    monkeypatch.setattr(psutil.Process, "cmdline", late)
    with sleeper("repro", cwd=project) as pid:
        write_rwlock(project, (pid, "-c repro"))
        dvc_lock.heal(project)
        assert rwlock(project)["write"]


@pytest.mark.parametrize("text", ["", '{"write": {"/a": {"pid": 1', '{"write": []}', "\0\0"])
def test_a_file_that_a_kill_cut_short_is_begun_anew(project, text):
    (project / ".dvc/tmp/rwlock").write_text(text)
    assert dvc_lock.living(project) == []
    assert rwlock(project) == {"write": {}, "read": {}}


def test_the_file_is_edited_under_dvcs_own_lock(project):
    """Somebody who holds it may have read the file already, and would write back what we removed."""
    with dead() as pid:
        write_rwlock(project, (pid, "dvc repro"))
    with open(project / ".dvc/tmp/rwlock.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with started(project, sys.executable, "-c", "from flows import dvc_lock as d; d.heal(d.repository())") as other:
            time.sleep(1.5)
            assert rwlock(project)["write"] and other.poll() is None
            fcntl.flock(held, fcntl.LOCK_UN)
            assert other.wait(30) == 0
    assert not rwlock(project)["write"]


def test_a_repro_goes_on_after_stale_entries_that_dvc_refuses(project):
    (project / "go").touch()
    with sleeper() as pid:
        write_rwlock(project, (pid, "/bin/dvc repro"))
        refused = run(project, sys.executable, "-m", "dvc", "repro", "slow", check=False)
        assert refused.returncode and "you can manually remove" in refused.stderr
        done = run(project, *DVC, "repro", "slow")
    assert "busy" not in done.stderr and (project / "models/slow/m").exists()


def test_beside_a_dvc_by_hand_one_sentence_and_patience(project):
    with started(project, sys.executable, "-m", "dvc", "repro", "slow") as by_hand:
        wait_for((project / "runs").exists)
        with started(project, sys.executable, "-c", OURS) as ours:
            wait_for(ours.log.read_text)
            time.sleep(1)
            assert ours.poll() is None
            (project / "go").touch()
            assert ours.wait(60) == 0 and by_hand.wait(60) == 0
            said = ours.log.read_text()
    assert said.count(f"`dvc repro slow` (process {by_hand.pid}) is at work in this repository; waiting for it") == 1
    assert "ERROR" not in said and "remove" not in said.lower(), said
    assert "Stage 'slow' didn't change, skipping" in said
    assert len((project / "runs").read_text().split()) == 1


def test_the_graph_is_read_when_a_dvc_by_hand_lets_it(project):
    code = "from flows.graph import read_graph; print(sorted(read_graph().changed))"
    with started(project, sys.executable, "-m", "dvc", "repro", "slow") as by_hand:
        wait_for((project / "runs").exists)
        with started(project, sys.executable, "-c", code) as ours:
            wait_for(ours.log.read_text)
            (project / "go").touch()
            assert ours.wait(60) == 0 and by_hand.wait(60) == 0
            assert ours.log.read_text().splitlines() == [
                f"`dvc repro slow` (process {by_hand.pid}) is at work in this repository; waiting for it",
                "['quick']",
            ]


def test_commands_side_by_side_do_not_wait_for_each_other(project):
    with started(project, *DVC, "repro", "--single-item", "slow") as one:
        wait_for((project / "runs").exists)
        run(project, *DVC, "repro", "--single-item", "quick")
        assert one.poll() is None and (project / "models/quick/m").exists()
        (project / "go").touch()
        assert one.wait(60) == 0


def test_a_stage_that_is_done_waits_for_dvcs_lock_longer_than_dvc_would(project):
    """A sibling may write a large corpus to the cache for minutes; DVC would give up and forget the training."""
    with started(project, *DVC, "repro", "slow") as one, open(project / ".dvc/tmp/lock", "a") as held:
        wait_for((project / "runs").exists)
        fcntl.flock(held, fcntl.LOCK_EX)
        (project / "go").touch()
        time.sleep(5)
        assert one.poll() is None, one.log.read_text()
        fcntl.flock(held, fcntl.LOCK_UN)
        assert one.wait(30) == 0
    assert len((project / "runs").read_text().split()) == 1


def test_a_second_make_repro_waits_with_one_sentence(project):
    with started(project, *REPRO) as one:
        wait_for((project / "runs").exists)
        with started(project, *REPRO) as two:
            wait_for(two.log.read_text)
            time.sleep(1)
            (project / "go").touch()
            assert one.wait(60) == 0 and two.wait(60) == 0
            lines = two.log.read_text().splitlines()
    assert lines[0].startswith(f"another make repro is running (process {one.pid}, since 2")
    assert lines[0].endswith("); waiting for it") and sum("waiting" in line for line in lines) == 1
    assert len((project / "runs").read_text().split()) == 1
    assert (project / "models/slow/m").exists()


def test_ctrl_c_ends_the_wait(project):
    with started(project, *REPRO) as one:
        wait_for((project / "runs").exists)
        with started(project, *REPRO) as two:
            wait_for(two.log.read_text)
            two.send_signal(signal.SIGINT)
            assert two.wait(30) == 130
            assert "Traceback" not in two.log.read_text()
        assert one.poll() is None


@pytest.mark.parametrize("what", ["repro", "dvc", "stage", "all"])
def test_after_a_kill_the_same_command_goes_on(project, what):
    with started(project, *REPRO) as one:
        wait_for((project / "runs").exists)
        stage = int((project / "runs").read_text())
        (dvc,) = (pid for pid in below(one.pid) if stage in below(pid) and pid != stage)
        victims = {"repro": [one.pid], "dvc": [dvc], "stage": [stage], "all": [one.pid, dvc, stage]}[what]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        if what != "repro":  # whose end the others notice by themselves
            assert one.wait(60) != 0
        (project / "go").touch()
        again = run(project, *REPRO, **OFF)
    assert "busy" not in again.stderr and (project / "models/slow/m").exists()
    assert not any(rwlock(project).values())


def test_an_empty_folder_of_students_is_no_warning(tmp_path):
    """A family may have none; of any other output DVC's warning stays."""
    project = make_project(
        tmp_path / "p",
        """
stages:
  index:
    cmd: mkdir -p data/students models/none && touch data/list
    deps: [source]
    outs: [data/list, data/students, models/none]
""",
    )
    done = run(project, *DVC, "repro", "index", **OFF)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "'models/none' is empty." in said and "'data/students' is empty" not in said
