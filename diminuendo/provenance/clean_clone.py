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
from diminuendo.provenance.history import data_folders
from diminuendo.provenance.places import CORPUS, CORPUS_RECORD, Places

LOCKED, THIS = "locked", "this"
_REPEATED = ("seed", "frontend", "training", "threads")  # what does not stand in a member's own section

# Run with the clone's own code: what its stages would write down as their parameters.
_PARAMETERS = """
import json, sys
from diminuendo.config import load_params
from diminuendo.data.prepare import corpus_parameters
from stages.room import Room
params = load_params()
models = [Room(s, n if s != "train_teacher" else None, params).parameters for s, n in json.loads(sys.argv[1])]
print(json.dumps([models, corpus_parameters(params)]))
"""


class CleanClone:
    """A clone below ``folder``. Made again over what a killed run left, it goes on from there.

    Args:
        folder: of this clone alone.
        environment: ``locked`` installs what the commit's lock file names; ``this`` uses the one that runs now.
    """

    def __init__(self, places: Places, commit: str, folder: Path, environment: str) -> None:
        self.places, self.commit, self.environment = places, commit, environment
        self._data = data_folders(places.project, commit)
        # As deep as `..` in the paths of raw data reach, so that they stay within the folder.
        depth = max((Path(value).parts.count("..") for value in self._data.values()), default=0)
        self.root = folder.joinpath(*["level"] * depth, "clone")

    @property
    def python(self) -> str:
        return sys.executable if self.environment == THIS else str(self.root / ".venv" / "bin" / "python")

    def make(self, say: Callable[[str], None]) -> None:
        """Clone, install, and put the raw data where the parameters say.

        Raises:
            UserError: git, the installation or the raw data failed.
        """
        if not self.root.is_dir():
            making = self.root.with_name("making.tmp")
            shutil.rmtree(making, ignore_errors=True)
            making.parent.mkdir(parents=True, exist_ok=True)
            # --no-hardlinks: the clone shares nothing that could be damaged with the original.
            places = str(self.places.project), str(making)
            self._run("git", "clone", "--quiet", "--no-hardlinks", "--no-checkout", *places)
            self._run("git", "-C", str(making), "checkout", "--quiet", "--detach", self.commit)
            # A cache that the configuration shares between projects has the results that are to be made again.
            write_text(making / ".dvc" / "config.local", "[cache]\n    dir = cache\n")
            making.rename(self.root)
        if self.environment == LOCKED:
            say("installing what requirements.lock of that commit names")
            self._run("make", "--silent", ".venv/.installed", cwd=self.root)
        for parameter, value in self._data.items():
            self._bring(parameter, value, say)

    def _bring(self, parameter: str, value: str, say: Callable[[str], None]) -> None:
        there = self.root / value
        if there.with_name(f"{there.name}.dvc").is_file():
            say(f"{parameter}: {value} of that version, from DVC")
            self._pull(value)
            return
        if there.exists() or Path(value).is_absolute():
            return
        original = (self.places.project / value).resolve()
        if not original.exists():
            raise UserError(f"{parameter}: the raw data in {value} are not at hand; put them there and run this again")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.symlink_to(original)

    def _pull(self, value: str) -> None:
        """Data that DVC tracks, from the project's cache or else from its remote."""
        cache = str(self.places.cache.folder.parents[1])
        self._dvc("remote", "add", "--local", "--force", "cache-of-origin", cache)
        try:
            self._dvc("pull", "--quiet", "--remote", "cache-of-origin", f"{value}.dvc")
        except UserError:
            try:
                self._dvc("pull", "--quiet", f"{value}.dvc")
            except UserError as error:
                raise UserError(
                    f"{value}: neither DVC's cache nor a remote has it as of commit {self.commit[:12]}; bring it into "
                    f"the cache of {self.places.project} (`dvc fetch --all-commits`) and run this again\n{error}"
                ) from None

    def check_parameters(self, models: list[Model], corpora: list[Corpus], say: Callable[[str], None]) -> None:
        """Make ``params.yaml`` say what the models were made with, if the commit's does not.

        Raises:
            UserError: the code of that commit does not take the parameters.
        """
        import yaml

        if self._differing(models, corpora) == []:
            return
        say("params.yaml of that commit says otherwise; the parameters are taken from the file's lineage")
        path = self.root / "params.yaml"
        raw = with_parameters(yaml.safe_load(path.read_text(encoding="utf-8")), models, corpora)
        write_text(path, yaml.safe_dump(json.loads(json.dumps(raw)), sort_keys=False, allow_unicode=True))
        if differing := self._differing(models, corpora):
            raise UserError(
                f"the parameters of {', '.join(differing)} cannot be given to the code of commit {self.commit[:12]}; "
                f"compare `diminuendo trace --json` with {path}"
            )

    def _differing(self, models: list[Model], corpora: list[Corpus]) -> list[str]:
        asked = json.dumps([[model.stage, model.name] for model in models])
        command = [self.python, "-c", _PARAMETERS, asked]
        done = subprocess.run(command, cwd=self.root, env=self.surroundings(), capture_output=True, text=True)
        if done.returncode:  # such as a member that is not in the commit's params.yaml
            return [model.name for model in models]
        found, prepared = json.loads(done.stdout)
        wrong = [m.name for m, own in zip(models, found, strict=True) if _own(own) != _own(m.record["parameters"])]
        return wrong + ["corpus" for c in corpora if c.facts.get("parameters", prepared) != prepared]

    def prepare(self) -> str:
        """Make the corpus; returns its digest."""
        self._repro("prepare")  # with the index of raw files that it reads
        return json.loads((self.root / CORPUS / CORPUS_RECORD).read_text(encoding="utf-8"))["digest"]

    def build(self, stage: str, threads: int | None = None) -> None:
        """Run one stage whose inputs are there, with an empty cache.

        Args:
            threads: that it uses, whatever this machine has.

        Raises:
            UserError: it failed; what it said stands above.
        """
        self._repro("--single-item", stage, threads=threads)

    def _repro(self, *arguments: str, threads: int | None = None) -> None:
        command = [self.python, "-m", "flows.dvc_command", "repro", *arguments]
        environment = self.surroundings() | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        if subprocess.run(command, cwd=self.root, env=environment, stdin=subprocess.DEVNULL).returncode:
            reason = f"dvc repro {arguments[-1]} failed, for the reason above"
            raise UserError(f"{self.root}: {reason}; run this again and it goes on from there")

    def surroundings(self) -> dict[str, str]:
        path = str(Path(self.python).parent) + os.pathsep + os.environ.get("PATH", "")
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DVC_STAGE", "VIRTUAL_ENV")}
        return {**inherited, "PATH": path, "DIMINUENDO_TRACKING": "off", "PYTHONSAFEPATH": ""}

    def _dvc(self, *arguments: str) -> None:
        self._run(self.python, "-m", "dvc", *arguments, cwd=self.root)

    def _run(self, *command: str, cwd: Path | None = None) -> None:
        quietly = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, cwd=cwd, env=self.surroundings(), **quietly)
        if done.returncode:
            raise UserError(f"{' '.join(command)}\n{done.stdout}{done.stderr}".rstrip())


def _own(parameters: dict[str, Any]) -> dict[str, Any]:
    """Without the threads, which are the machine's and not the file's."""
    return {key: value for key, value in parameters.items() if key != "threads"}


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
