"""``python -m benchmarks.peers``: see the package."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers import __doc__ as about
from benchmarks.peers import onnx_tools, torch_tools, whisper_tools
from benchmarks.peers.measure import measure
from benchmarks.peers.peer import Peer
from benchmarks.peers.table import markdown
from diminuendo.artifact.formats import TEXT_FORMAT
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.cli.errors import plain_errors
from diminuendo.config.names import TEACHER
from diminuendo.core.errors import UserError
from diminuendo.core.files import write_json, write_text
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.family import current
from diminuendo.parameters import Params, load_params
from diminuendo.runtime.model import format_of


def members_in(folder: Path) -> dict[str, Path]:
    """Name to folder of the members, the teacher first.

    Raises:
        UserError: there is no teacher among them.
    """
    found = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{MODEL}"))}
    if TEACHER not in found:
        raise UserError(f"{folder}: holds no {TEACHER}/{MODEL}; run `make repro`, or name the folder with --models")
    return {TEACHER: found.pop(TEACHER), **found}


def chosen(members: dict[str, Path], named: str) -> dict[str, Path]:
    """The teacher and those that are named, with commas between; all of them if nothing is named.

    Raises:
        UserError: there is no member of that name.
    """
    names = [name.strip() for name in named.split(",") if name.strip()]
    if unknown := [name for name in names if name not in members]:
        raise UserError(f"--members: {unknown[0]} is none of {', '.join(members)}")
    return {name: path for name, path in members.items() if not names or name in (TEACHER, *names)}


def of_frames(teacher: Path) -> tuple[Peer, ...]:
    """Tools for a model that gives tokens frame by frame, with groups as large as the widths of this one allow."""
    group = onnx_tools.group_size(teacher / MODEL)
    return onnx_tools.peers(group) + torch_tools.peers(group)


def _checkpoint(params: Params) -> Path | None:
    """The folder of the teacher's checkpoint, if it is one."""
    return None if params.teacher.pretrained is None else params.teacher.checkpoint.folder.path


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=about.splitlines()[0])
    parser.add_argument("--models", type=Path, default=current().models, help="folder of the family")
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--out", type=Path, default=Path(".work/peers"), help="folder of table.md and rows.json")
    parser.add_argument("--only", default="", help="settings or tools that have this in their name")
    parser.add_argument("--members", default="", help="with commas between, beside the teacher; all if not given")
    parser.add_argument("--calibration-utterances", type=int, default=64)
    parser.add_argument("--utterances", type=int, help="of the test split, drawn by the seed; all if not given")
    parser.add_argument("--seconds", type=float, nargs=2, default=(0.0, math.inf), metavar=("LEAST", "MOST"))
    parser.add_argument("--joined", action="store_true", help="join utterances in a row up to the longest")
    parser.add_argument("--where", metavar="KEY=VALUE", help="of the test split, by a key of the manifest")
    given = parser.parse_args(arguments)
    with plain_errors():
        if given.calibration_utterances < 1:
            raise UserError(f"--calibration-utterances: {given.calibration_utterances}, expected at least 1")
        if given.utterances is not None and given.utterances < 1:
            raise UserError(f"--utterances: {given.utterances}, expected at least 1")
        params, corpus, members = (
            load_params(current().params),
            PreparedCorpus.open(given.corpus),
            chosen(members_in(given.models), given.members),
        )
        is_text = format_of(members[TEACHER] / MODEL) == TEXT_FORMAT
        known = whisper_tools.PEERS if is_text else of_frames(members[TEACHER])
        peers = tuple(peer for peer in known if given.only in peer.name)
        key, said, value = (given.where or "").partition("=")
        if given.where is not None and not (key and said):
            raise UserError(f"--where: {given.where!r}, expected KEY=VALUE, such as corpus=librispeech_mini")
        where = (key, value) if said else None
        if given.joined and not math.isfinite(given.seconds[1]):
            raise UserError("--joined: up to how many seconds is not said; give --seconds 24 30 or alike")
        if not peers:
            raise UserError(f"--only: no peer has {given.only!r} in its name")
        rows = measure(
            peers,
            members,
            corpus,
            params.evaluate,
            seed=params.seed,
            calibration_utterances=given.calibration_utterances,
            utterances=given.utterances,
            seconds=tuple(given.seconds),
            joined=given.joined,
            where=where,
            checkpoint=_checkpoint(params),
        )
        given.out.mkdir(parents=True, exist_ok=True)
        table = markdown(rows)
        write_text(given.out / "table.md", f"{table}\n")
        write_json(given.out / "rows.json", [asdict(row) for row in rows])
        print(f"\n{table}")


if __name__ == "__main__":
    main()
