"""The group of all commands, and those that need no family of their own."""

from __future__ import annotations

import click

from diminuendo.cli import (
    converting,
    demo,
    importing,
    profiling,
    provenance,
    retraining,
    shipping,
    signing,
    transcribing,
)
from diminuendo.cli.errors import plain_errors
from diminuendo.cli.group import Commands
from diminuendo.core.plain_text import echo, without_secrets

PARAMS = "params.yaml"


def _print_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from diminuendo.cli.version import version_in_words

        echo(f"diminuendo {version_in_words()}")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--params",
    metavar="FILE",
    help=f"Parameter file of the family to work on: {PARAMS}, or params/NAME.yaml, whose outputs are in families/NAME.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version, and the git commit of a checkout, and exit.",
)
def main(params: str | None) -> None:
    """Make speech recognition models small, and prove where each one came from."""
    if params is not None:
        import os

        from diminuendo.core.errors import UserError
        from diminuendo.family import SOURCES, VARIABLE, family_of

        with plain_errors():
            family = family_of(params)
            if not family.params.exists():
                have = ", ".join(sorted(map(str, SOURCES.glob("*.yaml"))))
                there = f"those that there are: {have}" if have else "run from the repository's root"
                raise UserError(f"--params {params}: there is no such file; {there}")
            os.environ[VARIABLE] = str(family.params)


@main.command()
@click.argument("params_file", type=click.Path(), required=False)
def check(params_file: str | None) -> None:
    """Check PARAMS_FILE (by default the family's, params.yaml) and draw the family that it makes.

    The manifests of the data are read, and their paths looked at; no audio is decoded. A pretrained checkpoint is
    opened if it is on this machine; nothing is fetched.
    """
    with plain_errors(status=1):
        from diminuendo.family import current
        from diminuendo.parameters import load_params
        from diminuendo.parameters.checkpoints import checkpoint_problems
        from diminuendo.parameters.data import check_data
        from diminuendo.parameters.remarks import unread_texts
        from diminuendo.parameters.surroundings import check_surroundings
        from diminuendo.parameters.webhook import webhook_problem
        from diminuendo.report.family import draw_family
        from diminuendo.signing.policy import key_problems

        path = params_file or current().params
        params = load_params(path, checkpoint_problems)
        problems, notes = check_data(params)
        if params.ship is not None and params.ship.member not in params.members:
            known = ", ".join(params.members)
            problems.append(f"ship.member: there is no member {params.ship.member!r}; there are: {known}")
        problems += key_problems(params.ship)
        if params.retrain is not None and (wrong := webhook_problem()) is not None:
            problems.append(wrong)
        for note in (*check_surroundings(params, current(), problems, path), *notes, *unread_texts(params).values()):
            echo(f"note: {note}", err=True)
        echo(f"{path} is valid\n{draw_family(params)}")


@main.command()
@click.option("--folder", type=click.Path(), help="Where the report stands; by default the family's reports.")
def leaderboard(folder: str | None) -> None:
    """Print the leaderboard of the last report."""
    with plain_errors(status=1):
        from pathlib import Path

        from diminuendo.family import current
        from diminuendo.report.terminal import read_leaderboard

        echo(read_leaderboard(Path(folder) if folder else current().reports))


@main.command()
@click.argument("params_file", type=click.Path())
@click.option("--set", "changes", multiple=True, metavar="KEY.PATH=VALUE", help="Change one key; may be repeated.")
@click.option("--unset", "removed", multiple=True, metavar="KEY.PATH", help="Leave one key out; may be repeated.")
@click.option("--as", "name", metavar="NAME", help="Write params/NAME.yaml, a family of its own, and not params.yaml.")
@click.option("--force", is_flag=True, help="Replace a file with changes of your own that git does not have.")
def use(params_file: str, changes: tuple[str, ...], removed: tuple[str, ...], name: str | None, force: bool) -> None:
    """Make PARAMS_FILE the params.yaml of the pipeline, once it has been checked.

    `diminuendo use params/fsdd.yaml --as digits --set data.path=FOLDER`

    A later `use` replaces what an earlier one wrote; your own uncommitted edits are only replaced with --force.
    Everything that it writes is kept in .work/params. Once the pipeline has run, commit params.yaml and dvc.lock, or
    of a family of its own params/NAME.yaml and families/NAME.
    """
    with plain_errors(status=1):
        from pathlib import Path

        from diminuendo.family import SOURCES, family_of
        from diminuendo.switch import put_in_place

        target = family_of(PARAMS if name is None else SOURCES / f"{name}.yaml").params
        if name and not any(change.startswith("ship.model=") for change in changes):
            changes += (f"ship.model={name}",)  # two families must not share a model in the registry
        put_in_place(Path(params_file), target, changes, force, removed)
        told = [params_file, *(f"without {key}" for key in removed), *changes]
        echo(without_secrets(f"{target} is written: {', '.join(told)}"))
        echo(f"next: make repro PARAMS={target}" if name else "next: make repro")


for _commands in (importing, transcribing, demo, provenance, signing, shipping, retraining, converting, profiling):
    _commands.add_to(main)
