"""A clone of the project at the commit that made a model: its code, environment and raw data, and no results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import write_json, write_text
from diminuendo.provenance.checkpoint import parameter_of
from diminuendo.provenance.clone_parameters import OF_THE_MACHINE, with_folders, with_members, with_parameters
from diminuendo.provenance.descent import Corpus, Model
from diminuendo.provenance.dvc_output import concerns_our_user
from diminuendo.provenance.history import checkpoints_in
from diminuendo.provenance.homes import PARAMS, homes_at
from diminuendo.provenance.linked_checkpoint import LinkedCheckpoint
from diminuendo.provenance.places import CORPUS, CORPUS_RECORD, Places
from diminuendo.provenance.raw_data import DVC, NOTHING, OPTIONS, RawData
from diminuendo.tracking.origin import versions

LOCKED, THIS = "locked", "this"
_OF_THIS_PROCESS = ("PYTHONPATH", "DVC_STAGE", "VIRTUAL_ENV", "DIMINUENDO_PARAMS")
NO_DATA = ".work/nothing-collected"
READ_FROM = Path(".work/parameters")  # parameter files that read the checkpoints from where the clone has them
_COMPUTED_BY = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")  # variables that choose how sums are taken

# Run with the clone's own code: prints the parameters that its stages would record, for each parameter file.
_PARAMETERS = """
import json, sys
from diminuendo.data.prepare import corpus_parameters
try:
    from diminuendo.parameters import load_params
    from stages.stage import StageContext
except ImportError:  # a commit from before these names
    from diminuendo.config import load_params
    from stages.room import Room as StageContext
try:
    from stages.prepare import corpus_settings
except ImportError:  # a commit from before prepare had settings of its own
    def corpus_settings(params):
        return params
def of(name):
    try:
        params = load_params(name)
        members = [(s, n if s != "train_teacher" else None) for s, n in json.loads(sys.argv[1])]
        models = [StageContext(s, n, params).parameters for s, n in members]
        return [models, corpus_parameters(corpus_settings(params))]
    except Exception:  # such as a file without one of the members
        return None
print(json.dumps([of(name) for name in sys.argv[2:]]))
"""


class CleanClone:
    """A clone below ``folder``. If a killed run left a part of it, that is continued.

    Args:
        raw: parameter name to the raw data that it reads, see ``raw_data.locate``, and to each checkpoint, see
            ``checkpoint.beginnings``.
        folder: used by this clone only.
        environment: ``locked`` installs the commit's lock file; ``this`` uses the present environment.
    """

    def __init__(self, places: Places, commit: str, raw: Mapping[str, RawData], folder: Path, environment: str) -> None:
        self.places, self.commit, self.raw, self.environment = places, commit, raw, environment
        self.root = folder / "clone"
        self.checkpoints: list[LinkedCheckpoint] = []

    @property
    def python(self) -> str:
        return sys.executable if self.environment == THIS else str(self.root / ".venv" / "bin" / "python")

    def make(self, say: Callable[[str], None]) -> None:
        """Clone, install, and fetch the raw data that DVC has.

        Raises:
            UserError: git, the installation or the raw data failed.
        """
        self._begin_anew_elsewhere(say)
        if not self.root.is_dir():
            making = self.root.with_name("making.tmp")
            shutil.rmtree(making, ignore_errors=True)
            making.parent.mkdir(parents=True, exist_ok=True)
            # --no-hardlinks: the clone shares nothing that could be damaged with the original.
            places = str(self.places.project), str(making)
            self._run("git", "clone", "--quiet", "--no-hardlinks", "--no-checkout", *places)
            self._run("git", "-C", str(making), "checkout", "--quiet", "--detach", self.commit)
            # A cache that is shared between projects has the very results that are to be built again.
            write_text(making / ".dvc" / "config.local", "[cache]\n    dir = cache\n")
            making.rename(self.root)
        if self.environment == LOCKED:
            say("installing what requirements.lock of that commit names")
            self._run("make", "--silent", ".venv/.installed", cwd=self.root)
        for parameter, raw in self.raw.items():
            if raw.kind == DVC:
                say(f"{parameter}: {raw.value} of that version, from DVC")
                self._pull(raw.value)

    def _begin_anew_elsewhere(self, say: Callable[[str], None]) -> None:
        """Remove what another interpreter, PyTorch or choice of instructions left: it proves nothing here."""
        own = {name: os.environ.get(name) for name in _COMPUTED_BY}
        if self.environment == THIS:
            own |= {"interpreter": sys.executable, "torch": versions().get("torch")}
        record = self.root.with_name("surroundings.json")
        if self.root.is_dir():
            try:
                known = json.loads(record.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                known = None
            if known != own:
                say(f"{self.root} was made in other surroundings; it is begun anew")
                making = self.root.with_name("making.tmp")  # in one step; what is there goes with what a kill left
                shutil.rmtree(making, ignore_errors=True)
                self.root.rename(making)
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, own)

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

    def set_parameters(self, models: list[Model], corpora: list[Corpus], say: Callable[[str], None]) -> None:
        """Write the parameters of the models, and the locations of what they read, to the clone's ``params.yaml``.

        They come from the family of the commit that has them, else from the file's lineage.

        Raises:
            UserError: the code of that commit does not take the parameters, or a checkpoint is another one.
        """
        begun = [model for model in models if model.checkpoint is not None]
        self.checkpoints = [LinkedCheckpoint(model, self.raw[parameter_of(model)], self.root) for model in begun]
        for checkpoint in self.checkpoints:
            checkpoint.make()
        names = [home.parameters for home in homes_at(self.places.project, self.commit)]
        names = [name for name in names if (self.root / name).is_file()]
        differing = self._differing(names, models, corpora)
        fitting = next((name for name in names if differing[name] == []), None)
        raw = self._read(fitting or PARAMS)
        if fitting is None:
            say("no parameter file of that commit has them; the parameters are taken from the file's lineage")
            raw = with_parameters(raw, models, corpora)
        elif checkpoints_in(raw).keys() - {checkpoint.parameter for checkpoint in self.checkpoints}:
            raw = with_members(raw, models)  # what others begin with may not be at hand
        folders = {parameter: self._folder(own) for parameter, own in self.raw.items() if parameter in OPTIONS}
        self._write(self._with_checkpoint(with_folders(raw, folders)))
        if fitting is None and (differing := self._differing([PARAMS], models, corpora)[PARAMS]):
            raise UserError(
                f"the parameters of {', '.join(differing)} cannot be given to the code of commit {self.commit[:12]}; "
                f"compare `diminuendo trace --json` with {self.root / PARAMS}"
            )

    def _with_checkpoint(self, raw: dict[str, Any]) -> dict[str, Any]:
        for checkpoint in self.checkpoints:
            raw = checkpoint.named_in(raw)
        return raw

    def _readable(self, name: str) -> str:
        """A parameter file with the same content that reads the checkpoints from where the clone has them."""
        if not self.checkpoints:
            return name
        path = READ_FROM / name
        self._write(self._with_checkpoint(self._read(name)), path)
        return path.as_posix()

    def _folder(self, raw: RawData) -> str:
        if raw.kind != NOTHING:
            return raw.value
        (self.root / NO_DATA).mkdir(parents=True, exist_ok=True)
        return NO_DATA

    def _read(self, name: str | Path) -> dict[str, Any]:
        import yaml

        return yaml.safe_load((self.root / name).read_text(encoding="utf-8"))

    def _write(self, raw: dict[str, Any], name: str | Path = PARAMS) -> None:
        import yaml

        path = self.root / name
        if not path.exists() or raw != self._read(name):
            write_text(path, yaml.safe_dump(json.loads(json.dumps(raw)), sort_keys=False, allow_unicode=True))

    def _differing(self, names: list[str], models: list[Model], corpora: list[Corpus]) -> dict[str, list[str]]:
        """Parameter file to the models and corpora whose parameters it does not have."""
        asked = json.dumps([[model.stage, model.name] for model in models])
        command = [self.python, "-c", _PARAMETERS, asked, *map(self._readable, names)]
        environment = self.surroundings() | {"OMP_NUM_THREADS": "1"}  # else a stage may measure the fastest number
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        everything = {name: [model.name for model in models] for name in names}
        if done.returncode:  # code of a commit with another structure
            return everything
        result = {}
        for name, found in zip(names, json.loads(done.stdout), strict=True):
            if found is None:
                continue
            parameters, prepared = found
            pairs = zip(models, parameters, strict=True)
            wrong = [m.name for m, own in pairs if _own(own) != _own(m.record["parameters"])]
            result[name] = wrong + ["corpus" for c in corpora if c.facts.get("parameters", prepared) != prepared]
        return everything | result

    def prepare(self, say: Callable[[str], None]) -> str:
        """Make the corpus; returns its digest. ``say`` gets what the stages print on standard output."""
        self._repro(say, "prepare")  # with the index of raw files that it reads
        return json.loads((self.root / CORPUS / CORPUS_RECORD).read_text(encoding="utf-8"))["digest"]

    def build(self, stage: str, say: Callable[[str], None], threads: int | None = None) -> None:
        """Run one stage with an empty cache; its inputs exist.

        Args:
            say: see ``prepare``.
            threads: how many it uses, whatever this machine has.

        Raises:
            UserError: it failed; its output is above.
        """
        self._repro(say, "--single-item", stage, threads=threads)

    def _repro(self, say: Callable[[str], None], *arguments: str, threads: int | None = None) -> None:
        command = [self.python, "-m", "flows.dvc_command", "repro", *arguments]
        environment = self.surroundings() | {"PYTHONUNBUFFERED": "1"}  # lines are told as they come
        environment |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
        # Errors and progress bars stay where they go: on standard error DVC gives no advice.
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "errors": "replace"}
        with subprocess.Popen(command, cwd=self.root, env=environment, **streams) as child:
            try:
                for line in filter(concerns_our_user, map(str.strip, child.stdout)):
                    say(line)
            except BaseException:
                child.terminate()  # stages end with DVC
                raise
        if child.returncode:
            reason = f"dvc repro {arguments[-1]} failed, for the reason above"
            raise UserError(f"{self.root}: {reason}; run this again and it goes on from there")

    def surroundings(self) -> dict[str, str]:
        path = str(Path(self.python).parent) + os.pathsep + os.environ.get("PATH", "")
        inherited = {k: v for k, v in os.environ.items() if k not in _OF_THIS_PROCESS}
        # A proof by weights that an earlier run trained would be none.
        own = {"DIMINUENDO_TRACKING": "off", "DIMINUENDO_TRAIN_ANEW": "1", "PYTHONSAFEPATH": ""}
        for checkpoint in self.checkpoints:
            own |= checkpoint.surroundings
        return {**inherited, "PATH": path, **own}

    def _dvc(self, *arguments: str) -> None:
        self._run(self.python, "-m", "dvc", *arguments, cwd=self.root)

    def _run(self, *command: str, cwd: Path | None = None) -> None:
        quietly = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, cwd=cwd, env=self.surroundings(), **quietly)
        if done.returncode:
            raise UserError(f"{' '.join(command)}\n{done.stdout}{done.stderr}".rstrip())


def _own(parameters: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that belong to the machine and not to the file."""
    return {key: value for key, value in parameters.items() if key not in OF_THE_MACHINE}
