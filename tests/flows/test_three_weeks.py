"""Three weeks of scheduled retraining on a family that really learns, with one run killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from diminuendo.core.files import sha256_of
from diminuendo.data.prepared import PreparedCorpus
from tests.factories.audio import read_manifest
from tests.factories.project import environment, run
from tests.factories.weeks import corrupt, make_weeks_project, mistranscribe, week, worktree

pytestmark = pytest.mark.timeout(900)

TEAM = """
from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block
Block(name="team", url="{url}", json_data={{"subject": "{{{{subject}}}}", "team": "{{{{body}}}}"}}).save("team")
"""
# Kill the process when it calls a function, as a power cut would.
CUT = """
import importlib, os, signal, sys
module, _, name = {place!r}.partition(":")
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
setattr(owner, last, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
import flows.retrain
flows.retrain.main()
"""
REPRODUCE = ("reproduce", "tones@champion", "--environment", "this")
RETRAIN = (sys.executable, "-m", "flows.with_server", "flows.retrain")


class Weeks:
    """A repository, and what can be asked about it."""

    def __init__(self, project, prefect, webhook):
        self.project, self.incoming, self.quarantine = project, project / "incoming", project / "quarantine"
        self.env = {**prefect, "DIMINUENDO_WEBHOOK": webhook, "DIMINUENDO_TRACKING": "on"}

    def retrain(self, *arguments, status=0):
        done = run(self.project, *RETRAIN, *arguments, check=False, **self.env)
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done

    def retrain_until(self, place):
        """Run until a function is called, and die there."""
        done = run(self.project, sys.executable, "-c", CUT.format(place=place), check=False, **self.env)
        assert done.returncode == -signal.SIGKILL, f"{done.stdout}\n{done.stderr}"

    def start(self):
        return subprocess.Popen(
            RETRAIN,
            cwd=self.project,
            env=environment(**self.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def client(self):
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.project / 'mlflow.db'}")

    @property
    def champion(self):
        return self.client.get_model_version_by_alias("tones", "champion")

    def runs(self, stage, status=None):
        experiment = self.client.get_experiment_by_name("diminuendo").experiment_id
        wanted = f"tags.stage = '{stage}'" + (f" AND attributes.status = '{status}'" if status else "")
        return self.client.search_runs([experiment], wanted)

    def git(self, *arguments):
        return run(self.project, "git", *arguments).stdout.strip()

    @property
    def tags(self):
        return self.git("tag", "--list", "retraining/*").split()


def stages_run(output):
    return {line.split("'")[1] for line in output.splitlines() if "Running stage '" in line}


def test_three_weeks(tmp_path, prefect, webhook):
    project = make_weeks_project(tmp_path / "speech", notify=["custom-webhook/team", "slack-webhook/nobody"])
    weeks = Weeks(project, prefect, webhook.url)
    run(project, sys.executable, "-c", TEAM.format(url=webhook.url), **prefect)
    main = weeks.git("rev-parse", "HEAD")

    # Week 1: a good batch. There is no champion yet; the result becomes it.
    week(weeks.incoming / "week1", 1, 36)
    # The process dies between the promotion and the branch's advance; the next one ends its work.
    weeks.retrain_until("flows.retraining.workspace:Workspace.advance")
    assert int(weeks.champion.version) == 1 and weeks.git("rev-parse", "retraining") == main
    done = weeks.retrain("--only-if-new")
    assert not stages_run(done.stderr)
    first = weeks.champion
    assert int(first.version) == 1
    tag = first.tags["git.tag"]
    assert weeks.tags == [tag] and weeks.git("rev-parse", "retraining") == weeks.git("rev-parse", f"{tag}^{{commit}}")
    assert not weeks.quarantine.exists()
    assert "Promoted" in webhook.messages[-1]["text"] and webhook.messages[-1]["outcome"] == "Promoted"
    assert webhook.messages[-2] == {
        "subject": "Retraining: Promoted",
        "team": f"models:/tones/{first.version} is the champion now",
    }
    assert "no notification to slack-webhook/nobody" in done.stderr
    (recorded,) = weeks.runs("retraining")
    assert recorded.data.tags["outcome"] == "Promoted" and recorded.data.metrics["records_used"] == 36
    params = weeks.git("show", "retraining:params.yaml")
    assert "collected: data/collected" in params and params.startswith("# Toy speech.")

    # Nothing new: it ends at once.
    assert "NoNewData" in weeks.retrain("--only-if-new").stdout

    # Week 2: thirty per cent are damaged; and the run is killed when the teacher is trained.
    batch = week(weeks.incoming / "week2", 2, 40)
    assert corrupt(batch, 0.3) == 12
    process = weeks.start()
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "Running stage 'train_teacher'" in line:
            second = weeks.retrain(status=75)  # never two at a time
            assert "retraining runs already" in second.stderr and "Traceback" not in second.stderr
        if "Running stage 'quantize@small'" in line:
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "train_teacher" in stages_run("".join(seen)) and weeks.champion.version == first.version
    assert weeks.git("rev-parse", "retraining") == weeks.git("rev-parse", f"{tag}^{{commit}}")
    wait_for_the_dead(worktree(project))

    again = weeks.retrain()
    assert "it goes on" in again.stderr
    assert {"prepare", "train_teacher"}.isdisjoint(stages_run(again.stderr)), again.stderr
    # What the killed run had begun when the signal reached it is up to the machine.
    assert "evaluate" in stages_run("".join(seen)) | stages_run(again.stderr)
    second = weeks.champion
    assert int(second.version) == int(first.version) + 1 and len(weeks.tags) == 2
    problems = read_manifest(weeks.quarantine / "week2/records/problems.jsonl")
    kinds = {"not audio", "missing file", "empty text", "wrong type or value", "wrong duration"}
    assert {problem["kind"] for problem in problems} == kinds
    assert sorted(problem["line"] for problem in problems) == list(range(1, 13))
    facts = json.loads((worktree(project) / "data/collected/batches.json").read_text())
    assert [sum(batch["records"].values()) for batch in facts] == [36, 28]
    assert {run.info.status for stage in ("prepare", "train_teacher") for run in weeks.runs(stage)} == {"FINISHED"}
    assert not weeks.runs("quantize", "RUNNING")

    # Week 3: whoever transcribed the coast was wrong. Its recognition suffers, and the champion stays.
    mistaken = week(weeks.incoming / "week3", 3, 120)
    mistranscribe(mistaken, "coast")
    weeks.retrain_until("flows.retrain:refuse")
    assert weeks.champion.version == second.version and mistaken.exists()
    refused = weeks.retrain(status=1)
    assert not stages_run(refused.stderr)
    assert weeks.champion.version == second.version
    assert weeks.git("rev-parse", "retraining") == weeks.git("rev-parse", f"{weeks.tags[1]}^{{commit}}")
    assert weeks.tags[2].endswith("-refused") and "Refused" in refused.stdout
    assert not mistaken.exists()
    decision = json.loads((weeks.quarantine / "week3/refused/decision.json").read_text())
    broken = {(rule["test"], rule["name"]) for rule in decision["rules"] if rule["verdict"] == "refuse"}
    assert {("champion", "group_wer"), ("new", "group_wer")} <= broken
    worst = {rule["about"].split(",")[0] for rule in decision["rules"] if rule["verdict"] == "refuse" and rule["about"]}
    assert worst == {"accent coast"}
    assert webhook.messages[-1]["outcome"] == "Refused"
    assert "ΔWER, worst group against the champion (new): +" in webhook.messages[-1]["text"]

    # The weeks after are not poisoned, and nobody's checkout was touched.
    assert corrupt(week(weeks.incoming / "week4", 4, 10), 0.8) == 8
    assert "NoNewData" in weeks.retrain("--only-if-new").stdout
    assert webhook.messages[-1]["set_aside"][0]["name"] == "week4"
    assert (weeks.quarantine / "week4/refused/decision.md").exists() and not (weeks.incoming / "week4").exists()
    corpus = PreparedCorpus.open(worktree(project) / "data/prepared")
    assert {u.group("batch") for u in corpus.train} == {None, "week1", "week2"}
    assert weeks.git("rev-parse", "HEAD") == main and not weeks.git("status", "--porcelain")
    served = project / "served.onnx"
    run(project, sys.executable, "-m", "diminuendo.cli", "fetch", "tones@champion", str(served))
    assert sha256_of(served) == second.tags["digest"] != decision["candidate"]["digest"]

    # What retraining promoted is built again from the checkout, with the data version that it was trained on.
    again = run(project, sys.executable, "-m", "diminuendo.cli", *REPRODUCE, OMP_NUM_THREADS="2", check=False)
    assert "the same bytes again" in again.stdout, again.stdout + again.stderr


def wait_for_the_dead(folder, seconds=20):
    """Until no process works in the folder any more but the sender of records."""
    import psutil

    def left():
        for process in psutil.process_iter(["cwd", "cmdline"]):
            words = process.info["cmdline"] or ()
            if process.info["cwd"] == str(folder) and "diminuendo.tracking.sender" not in words:
                yield process

    deadline = time.monotonic() + seconds
    while any(left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(left())
