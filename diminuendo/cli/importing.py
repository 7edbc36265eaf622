"""The commands ``import kaldi``, ``huggingface``, ``lhotse``, ``csv`` and ``folder``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.core.plain_text import echo

if TYPE_CHECKING:
    from diminuendo.importing.utterance import Found, Request

_OPTIONS = (
    click.option("--out", type=click.Path(path_type=Path), help="Folder for the manifests; corpora/NAME by default."),
    click.option("--dev", type=float, default=0.1, show_default=True, help="Share of dev, if the source has none."),
    click.option("--test", type=float, default=0.1, show_default=True, help="Share of test, if the source has none."),
    click.option("--resplit", is_flag=True, help="Divide the utterances anew, whatever splits the source has."),
    click.option(
        "--split", "splits", multiple=True, metavar="NAME=SPLIT",
        help="The source's split NAME is train, dev, test or none; may be repeated.",
    ),
    click.option(
        "--root", type=click.Path(path_type=Path),
        help="Folder that relative paths are seen from before the source's own, and may not leave.",
    ),
    click.option(
        "--params", "params_file", type=click.Path(path_type=Path),
        help="Also write this parameter file, params/NAME.yaml, from --template.",
    ),
    click.option("--template", type=click.Path(path_type=Path), default="params.yaml", show_default=True,
                 help="Parameter file that --params begins with."),
)  # fmt: skip
_COLUMN = click.option(
    "--column", "columns", multiple=True, metavar="ROLE=NAME",
    help="The column NAME holds the audio, text, speaker, gender, accent, age_group, id, split, start, end or "
    "duration; may be repeated.",
)  # fmt: skip
_PATTERN = click.option(
    "--speaker-pattern", metavar="REGEX", help="Finds the speaker, its first group, in the path of a recording."
)


@click.group(name="import")
def import_() -> None:
    """Read a corpus in another format and write manifests: train.jsonl, dev.jsonl and test.jsonl.

    Audio stays where it is; only what no manifest can name is written beside them. Splits of the source are kept, and
    missing ones are made so that no speaker is in two of them.
    """


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    group.add_command(import_)


def _shared(command: Callable) -> Callable:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@import_.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_shared
def kaldi(folder: Path, **options) -> None:
    """A Kaldi data directory, or a folder of them (train, dev, test).

    Commands in wav.scp are never run.
    """
    from diminuendo.importing.kaldi import read_kaldi

    _run(read_kaldi, folder, [folder], options)


@import_.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_shared
@_COLUMN
@_PATTERN
def huggingface(folder: Path, **options) -> None:
    """A Hugging Face data set on disk: parquet, save_to_disk, or audiofolder with metadata.

    Scripts of a data set are never run, and nothing is fetched.
    """
    from diminuendo.importing.huggingface import read_huggingface

    _run(read_huggingface, folder, [folder], options)


@import_.command()
@click.argument("cuts", nargs=-1, required=True, type=click.Path(path_type=Path))
@_shared
def lhotse(cuts: tuple[Path, ...], **options) -> None:
    """CUTS of lhotse, or recordings and supervisions (.jsonl or .jsonl.gz)."""
    from diminuendo.importing.lhotse_cuts import read_lhotse

    _run(read_lhotse, list(cuts), cuts, options, files=True)


@import_.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@_shared
@_COLUMN
@_PATTERN
@click.option("--no-header", is_flag=True, help="The first line is an utterance; columns are called 1, 2, 3, …")
@click.option("--encoding", metavar="NAME", help="Of the text, such as gb18030, big5 or cp1252; UTF-8 by default.")
def csv(files: tuple[Path, ...], no_header: bool, **options) -> None:
    """Tables with a line for each utterance: csv, tsv, or with any other delimiter."""
    from diminuendo.importing.table import read_tables

    _run(read_tables, list(files), files, options, files=True, header=not no_header)


@import_.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_shared
@_PATTERN
def folder(folder: Path, **options) -> None:
    """Recordings with transcripts beside them: NAME.txt beside NAME.wav, or LibriSpeech's layout."""
    from diminuendo.importing.folder import read_folder

    _run(read_folder, folder, [folder], options)


def _run(read: Callable[..., Found], source, paths, options: dict, files: bool = False, header: bool = True) -> None:
    """Import, say what was found, and what to do next."""
    with plain_errors():
        from diminuendo.core.errors import UserError
        from diminuendo.importing.corpus import import_corpus
        from diminuendo.importing.next_params import params_for
        from diminuendo.importing.summary import summary, warning

        for path in paths:
            _check_source(path, files)
        dev, test = options["dev"], options["test"]
        if not (0 < dev < 1 and 0 < test < 1 and dev + test < 1):
            raise UserError(f"--dev {dev:g} and --test {test:g}: expected shares above 0 that leave some for train")
        out = options["out"] or Path("corpora") / _name_of(paths[0])
        if options["params_file"] is not None:
            _check_target(options["params_file"], options["template"])
        request = _request(options, header)
        command = click.get_current_context().info_name
        said = f"{command} {' '.join(map(str, paths))}"
        found = import_corpus(
            request.splits.checked(read(source, request)), said, out, dev, test, options["resplit"], request.notes
        )
        for line in summary(found, request.notes):
            echo(line)
        _say_next(params_for(found), out, options["params_file"], options["template"])
        if (told := warning(found)) is not None:
            echo(told)


def _check_source(path: Path, is_file: bool) -> None:
    from diminuendo.core.errors import UserError

    expected, other = ("file", "folder") if is_file else ("folder", "file")
    if path.is_file() if is_file else path.is_dir():
        return
    if path.exists():
        hint = (
            "name the file in it that has the lines" if is_file else "files of lines are read by import csv or lhotse"
        )
        found = other if path.is_file() or path.is_dir() else "pipe or a device"
        raise UserError(f"{path}: a {found}, expected a {expected}; {hint}")
    raise UserError(f"{path}: there is no {expected} of this name; give the path of the {expected} to import")


def _request(options: dict, header: bool) -> Request:
    import re

    from diminuendo.core.errors import UserError
    from diminuendo.data.prepared import SPLITS
    from diminuendo.importing.split_names import NONE, Chosen
    from diminuendo.importing.utterance import Request

    splits = _pairs("--split", options["splits"])
    for name, split in splits.items():
        if split not in (*SPLITS, NONE):
            raise UserError(f"--split {name}={split}: expected train, dev, test or none after the '='")
    try:
        pattern = re.compile(options["speaker_pattern"]) if options.get("speaker_pattern") else None
    except re.error as error:
        raise UserError(f"--speaker-pattern: not a regular expression: {error}") from None
    if pattern is not None and not pattern.groups:
        raise UserError("--speaker-pattern: has no group; put the speaker in brackets, as in '([^/]+)/[^/]+$'")
    columns = _pairs("--column", options.get("columns", ()))
    encoding = options.get("encoding")
    if encoding is not None:
        _check_encoding(encoding)
    return Request(columns, options["root"], Chosen(splits), pattern, header, encoding)


def _check_encoding(name: str) -> None:
    from diminuendo.core.errors import UserError

    try:
        b"a".decode(name)  # refuses, other than codecs.lookup, what makes no text, such as base64
    except UnicodeDecodeError:
        pass  # a letter alone is none in it, as in UTF-16
    except (LookupError, ValueError):
        raise UserError(
            f"--encoding {name}: no encoding of text that Python knows; expected a name such as gb18030 (which reads "
            "GBK), big5, shift_jis, cp1252 or utf-16"
        ) from None


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    from diminuendo.core.errors import UserError

    found = {}
    for pair in given:
        name, equals, value = pair.rpartition("=") if option == "--split" else pair.partition("=")
        if not (name and equals and value):
            raise UserError(f"{option} {pair}: expected NAME=VALUE")
        if name in found:
            raise UserError(f"{option} {pair}: {name!r} was given before, as {found[name]!r}; give it once")
        found[name] = value
    return found


def _name_of(path: Path) -> str:
    import re

    name = path.absolute().name.partition(".")[0] if path.is_file() else path.absolute().name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_") or "imported"


def _check_target(target: Path, template: Path) -> None:
    """Before anything is written: what --params needs at the end of an import."""
    from diminuendo.core.errors import UserError
    from diminuendo.core.extras import is_installed
    from diminuendo.family import family_of
    from diminuendo.parameters import load_params
    from diminuendo.switch import check_replaceable

    if not is_installed("ruamel.yaml"):  # an environment from before it was a dependency
        how = "run: pip install . in the project's folder"
        raise UserError(f"--params needs ruamel.yaml, which is not installed; {how}")
    check_replaceable(family_of(target).params, "give another --params")
    load_params(template)


def _say_next(changes: dict, out: Path, target: Path | None, template: Path) -> None:
    import shlex

    from diminuendo.family import family_of
    from diminuendo.importing.next_params import as_options, as_yaml
    from diminuendo.switch import put_in_place

    echo(f"\n{out} is written. Its parameters:\n\n{as_yaml(changes)}")
    if target is None:
        name = _name_of(out)
        told = " ".join(f"--set {shlex.quote(option)}" for option in as_options(changes))
        echo(f"next: diminuendo use params.yaml --as {name} {told}\n      make repro PARAMS=params/{name}.yaml")
        return
    family = family_of(target)
    named = [f"ship.model={family.name}"] if family.name else []
    put_in_place(template, family.params, [*as_options(changes), *named])
    own = f" PARAMS={family.params}" if family.name else ""
    echo(f"{family.params} is written, from {template}\nnext: make repro{own}")
