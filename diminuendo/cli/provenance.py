"""Commands that say where a file came from: ``trace``, ``verify`` and ``reproduce``."""

from __future__ import annotations

import click

from diminuendo.cli.errors import plain_errors

_PROJECT = click.option(
    "--project", type=click.Path(), help="Clone of the project to look in; the one around the working directory."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The same as JSON.")


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    for command in (trace,):
        group.add_command(command)


@click.command()
@click.argument("model")
@_JSON
@click.option("--mermaid", is_flag=True, help="As a Mermaid graph.")
@click.option("--html", type=click.Path(), help="Also write a page to this file.")
@_PROJECT
def trace(model: str, as_json: bool, mermaid: bool, html: str | None, project: str | None) -> None:
    """Print the whole ancestry of MODEL, down to the raw data.

    MODEL is an .onnx file, a digest or its beginning, a member's name, or a name in the registry such as
    commands@champion. A file tells its descent itself; runs, commits and DVC entries are added where they are at hand.
    """
    with plain_errors():
        import json
        from pathlib import Path

        from diminuendo.files import write_text
        from diminuendo.provenance import branches, picture, terminal
        from diminuendo.provenance.places import Places, project_at
        from diminuendo.provenance.target import model_of
        from diminuendo.provenance.trace import trace as look_up

        places = Places(project_at(project))
        found = model_of(model, places)
        if mermaid:
            click.echo(picture.mermaid(found), nl=False)
            return
        traced = look_up(found, places)
        tree = branches.branches_of(traced)
        if html:
            write_text(Path(html), picture.page(tree, traced.notes))
        if as_json:
            click.echo(json.dumps(branches.as_dict(traced), indent=1, ensure_ascii=False))
            return
        click.echo(terminal.draw(tree))
        for note in traced.notes:
            click.echo(f"note: {note}", err=True)
