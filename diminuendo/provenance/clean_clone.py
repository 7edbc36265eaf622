"""A clone of the project at the commit that made a model: its code, environment and raw data, and no results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diminuendo.errors import UserError
from diminuendo.files import write_text
from diminuendo.provenance.descent import Corpus, Model
from diminuendo.provenance.dvc_cache import git
from diminuendo.provenance.places import Places

LOCKED, THIS = "locked", "this"
_REPEATED = ("seed", "frontend", "training", "threads")  # what does not stand in a member's own section

# Run with the clone's own code: what its stages would write down as their parameters.
_PARAMETERS = """
import json, sys
from diminuendo.config import load_params
from stages.room import Room
params = load_params()
print(json.dumps([Room(s, n if s != "train_teacher" else None, params).parameters for s, n in json.loads(sys.argv[1])]))
"""


class CleanClone:
    """A clone below ``folder``. Made again over what a killed run left, it goes on from there.

    Args:
        folder: of this clone alone.
        environment: ``locked`` installs what the commit's lock file names; ``this`` uses the one that runs now.
        threads: that trainings use, whatever this machine has; its own by default.
    """

    def __init__(
        self, places: Places, commit: str, folder: Path, environment: str, threads: int | None = None
    ) -> None:
        self.places, self.commit, self.environment, self.threads = places, commit, environment, threads
        # As deep as `..` in the paths of raw data reach, so that they stay within the folder.
        depth = max((Path(value).parts.count("..") for value in self._data_folders().values()), default=0)
        self.root = folder.joinpath(*["level"] * depth, "clone")

    def _data_folders(self) -> dict[str, str]:
        import yaml

        params = yaml.safe_load(git(self.places.project, "show", f"{self.commit}:params.yaml") or "{}")
        data = params.get("data") or {}
        return {f"data.{key}": data[key] for key in ("path", "collected") if data.get(key)}

    @property
    def python(self) -> str:
        return sys.executable if self.environment == THIS else str(self.root / ".venv" / "bin" / "python")

    def make(self, say: Callable[[str], None]) -> None:
        """Clone, install, and put the raw data where the parameters say.

        Raises:
            UserError: git, the installation or the raw data failed.
        """
        if git(self.root, "rev-parse", "HEAD").strip() != self.commit or not (self.root / ".git").is_dir():
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.parent.mkdir(parents=True, exist_ok=True)
            # --no-hardlinks: the clone shares nothing that could be damaged with the original.
            places = str(self.places.project), str(self.root)
            self._run("git", "clone", "--quiet", "--no-hardlinks", "--no-checkout", *places)
            self._run("git", "-C", str(self.root), "checkout", "--quiet", "--detach", self.commit)
        if self.environment == LOCKED:
            say("installing what requirements.lock of that commit names")
            self._run("make", "--silent", ".venv/.installed", cwd=self.root)
        for parameter, value in self._data_folders().items():
            self._bring(parameter, value, say)

    def _bring(self, parameter: str, value: str, say: Callable[[str], None]) -> None:
        there = self.root / value
        if there.exists() or Path(value).is_absolute():
            return
        if there.with_name(f"{there.name}.dvc").is_file():
            say(f"{parameter}: {value} of that version, from DVC's cache")
            cache = str(self.places.cache.folder.parents[1])
            self._dvc("remote", "add", "--local", "--force", "cache-of-origin", cache)
            self._dvc("pull", "--quiet", "--remote", "cache-of-origin", f"{value}.dvc")
            return
        original = (self.places.project / value).resolve()
        if not original.exists():
            raise UserError(f"{parameter}: the raw data in {value} are not at hand; put them there and run this again")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.symlink_to(original)

    def check_parameters(self, models: list[Model], corpora: list[Corpus], say: Callable[[str], None]) -> None:
        """Make ``params.yaml`` say what the models were made with, if the commit's does not.

        Raises:
            UserError: the code of that commit does not take the parameters.
        """
        import yaml

        if self._differing(models) == []:
            return
        say("params.yaml of that commit says otherwise; the parameters are taken from the file's lineage")
        path = self.root / "params.yaml"
        raw = with_parameters(yaml.safe_load(path.read_text(encoding="utf-8")), models, corpora)
        write_text(path, yaml.safe_dump(json.loads(json.dumps(raw)), sort_keys=False, allow_unicode=True))
        if differing := self._differing(models):
            raise UserError(
                f"the parameters of {', '.join(differing)} cannot be given to the code of commit {self.commit[:12]}; "
                f"compare `diminuendo trace --json` with {path}"
            )

    def _differing(self, models: list[Model]) -> list[str]:
        asked = json.dumps([[model.stage, model.name] for model in models])
        command = [self.python, "-c", _PARAMETERS, asked]
        done = subprocess.run(command, cwd=self.root, env=self.surroundings(), capture_output=True, text=True)
        if done.returncode:  # such as a member that is not in the commit's params.yaml
            return [model.name for model in models]
        found = json.loads(done.stdout)
        return [m.name for m, parameters in zip(models, found, strict=True) if parameters != m.record["parameters"]]

    def build(self, stages: list[str]) -> None:
        """``dvc repro`` of some stages and all that they need, with an empty cache.

        Raises:
            UserError: a stage failed; what it said stands above.
        """
        command = [self.python, "-m", "flows.dvc_command", "repro", *stages]
        if subprocess.run(command, cwd=self.root, env=self.surroundings(), stdin=subprocess.DEVNULL).returncode:
            reason = f"dvc repro {' '.join(stages)} failed, for the reason above"
            raise UserError(f"{self.root}: {reason}; run this again and it goes on from there")

    def surroundings(self) -> dict[str, str]:
        path = str(Path(self.python).parent) + os.pathsep + os.environ.get("PATH", "")
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DVC_STAGE", "VIRTUAL_ENV")}
        as_then = {"OMP_NUM_THREADS": str(self.threads)} if self.threads else {}
        return {**inherited, **as_then, "PATH": path, "DIMINUENDO_TRACKING": "off", "PYTHONSAFEPATH": ""}

    def _dvc(self, *arguments: str) -> None:
        self._run(self.python, "-m", "dvc", *arguments, cwd=self.root)

    def _run(self, *command: str, cwd: Path | None = None) -> None:
        quietly = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, cwd=cwd, env=self.surroundings(), **quietly)
        if done.returncode:
            raise UserError(f"{' '.join(command)}\n{done.stdout}{done.stderr}".rstrip())


def with_parameters(raw: dict[str, Any], models: list[Model], corpora: list[Corpus]) -> dict[str, Any]:
    """``params.yaml`` with the members' and corpora's own parameters in it and no other members."""
    raw = json.loads(json.dumps(raw))
    for corpus in corpora:
        own = corpus.facts.get("parameters", {})
        raw["data"] |= own.get("data", {})
        raw |= {key: value for key, value in own.items() if key in ("seed", "text", "synthesis")}
    for section in ("distill", "compress_architecture", "prune", "quantize"):
        raw[section] = {}
    for model in models:
        parameters = model.record["parameters"]
        raw |= {key: parameters[key] for key in ("seed", "frontend") if key in parameters}
        member = {key: value for key, value in parameters.items() if key not in _REPEATED}
        if "training" in parameters:
            member["training"] = parameters["training"]
        if model.stage == "train_teacher":
            raw["teacher"] = member
        else:
            raw[model.stage][model.name] = member
    return raw
