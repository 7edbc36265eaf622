"""Commands about where a file came from: ``trace``, ``bom``, ``verify`` and ``reproduce``."""

from __future__ import annotations

from pathlib import Path

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.cli.out import OUT_FILE, keep_model
from diminuendo.core.plain_text import echo, one_line

_PROJECT = click.option(
    "--project", type=click.Path(), help="Clone of the project to look in; the one around the working directory."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The same as JSON.")


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    for command in (trace, bom, verify, reproduce):
        group.add_command(command)


@click.command()
@click.argument("model")
@_JSON
@click.option("--mermaid", is_flag=True, help="As a Mermaid graph.")
@click.option("--html", type=OUT_FILE, help="Also write a page to this file.")
@_PROJECT
def trace(model: str, as_json: bool, mermaid: bool, html: Path | None, project: str | None) -> None:
    """Print the whole ancestry of MODEL, down to the raw data.

    MODEL is an .onnx file, a digest or its beginning, a member's name, or a name in the registry such as
    home@champion. The ancestry is in the file itself; runs, commits and DVC entries are added if they can be found.
    """
    with plain_errors():
        import json

        from diminuendo.core.files import write_text
        from diminuendo.provenance import branches, picture, terminal
        from diminuendo.provenance.places import Places, project_at
        from diminuendo.provenance.target import model_of
        from diminuendo.provenance.trace import trace as look_up

        places = Places(project_at(project))
        found = model_of(model, places)
        if mermaid:
            echo(picture.mermaid(found), nl=False)
            return
        traced = look_up(found, places)
        tree = branches.branches_of(traced)
        if html is not None:
            keep_model(html, found.path)
            write_text(html, picture.page(tree, traced.notes))
        if as_json:
            echo(json.dumps(branches.as_dict(traced), indent=1, ensure_ascii=False))
            return
        echo(terminal.draw(tree))
        for note in traced.notes:
            echo(f"note: {note}", err=True)


@click.command()
@click.argument("model")
@click.option("--out", type=OUT_FILE, metavar="FILE", help="Write it to this file, and not to the terminal.")
@_PROJECT
def bom(model: str, out: Path | None, project: str | None) -> None:
    """Print a bill of materials of MODEL: CycloneDX 1.6 in JSON, from the ancestry that the file states.

    It names the model and its ancestors with their parameters, the corpora, the pretrained checkpoint with its licence,
    and the version of PyTorch, with digests. It is validated, and the same file gives the same bytes.
    """
    with plain_errors():
        from diminuendo.core.files import write_text
        from diminuendo.provenance.bom import bill_of_materials
        from diminuendo.provenance.places import Places, project_at
        from diminuendo.provenance.target import model_of

        found = model_of(model, Places(project_at(project)))
        text = bill_of_materials(found)
        if out is None:
            echo(text, nl=False)
        else:
            keep_model(out, found.path)
            write_text(out, text)


@click.command()
@click.argument("models", nargs=-1)
@click.option("--key", type=click.Path(), metavar="PUBLIC", help="Key that must have signed MODELS, or the champions.")
@_JSON
@_PROJECT
def verify(models: tuple[str, ...], key: str | None, as_json: bool, project: str | None) -> None:
    """Check that MODELS and everything they were made from are unchanged; without MODELS, the whole project.

    With a key, by default ship.key of params.yaml, the signatures of MODELS are checked, and those of the champions in
    the registry. Without one, models are held against the dvc.lock of git's commits: one that no commit names is
    called unvouched, which is a warning.

    Files are hashed, never loaded. The exit status is 1 if anything is damaged or missing. An ancestor that cannot be
    found (of a file that was copied elsewhere) is named, and is not an error.
    """
    with plain_errors():
        import json
        from collections import Counter

        from diminuendo.core.errors import UserError
        from diminuendo.provenance.authenticity import verify_champions, verify_origin
        from diminuendo.provenance.places import Places, project_at
        from diminuendo.provenance.target import model_of
        from diminuendo.provenance.verify import verify_descent, verify_file, verify_project
        from diminuendo.signing import read_public

        places, public = Places(project_at(project)), read_public(Path(key)) if key else None
        if not models and places.project is None:
            raise UserError("no project here or above; name the files to verify, or a clone with --project")
        findings = {} if models else dict.fromkeys([*verify_project(places), *verify_champions(places, public)])
        for model in models:
            is_file = Path(model).is_file() or model.endswith(".onnx")
            found = verify_file(Path(model), places) if is_file else verify_descent(model_of(model, places), places)
            findings |= dict.fromkeys([*found, *verify_origin(model, places, public)])
        if as_json:
            echo(json.dumps([vars(finding) for finding in findings], indent=1))
        else:
            for finding in findings:
                where = f"  {finding.where}" if finding.where else ""
                detail = f": {finding.detail}" if finding.detail else ""
                # One line each, so that no name can look like a finding of its own.
                echo(one_line(f"{finding.status:<12}{finding.what}{where}{detail}"))
            for note in places.notes:
                echo(f"note: {note}", err=True)
            counts = Counter(finding.status for finding in findings)
            echo(", ".join(f"{count} {status}" for status, count in counts.items()))
        raise SystemExit(int(any(finding.is_bad for finding in findings)))


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option(
    "--environment",
    type=click.Choice(["locked", "this"]),
    default="locked",
    show_default=True,
    help="Install what the commit's requirements.lock names, or use the environment that runs this.",
)
@click.option("--data", type=click.Path(), help="Folder of the raw data (data.path), if it is not found by itself.")
@click.option("--collected", type=click.Path(), help="The same for data.collected.")
@click.option(
    "--checkpoint",
    "checkpoints",
    type=click.Path(),
    multiple=True,
    help="Folder of a pretrained checkpoint that the teacher, or a student, began with; once for each.",
)
@click.option("--folder", type=click.Path(), help="Where to build; .work/reproduce by default.")
@click.option("--keep", is_flag=True, help="Leave the clone there.")
@_JSON
@_PROJECT
def reproduce(
    models: tuple[str, ...],
    environment: str,
    data: str | None,
    collected: str | None,
    checkpoints: tuple[str, ...],
    folder: str | None,
    keep: bool,
    as_json: bool,
    project: str | None,
) -> None:
    """Build MODELS again in a clean clone at their commit, and compare the bytes.

    The raw data are searched in the places named by dvc.lock, MLflow's run of the corpus and the parameter files, and
    checked against the digests that the corpus keeps of them. Pretrained checkpoints are searched where dvc.lock and
    the parameter files say, or in the hub's cache, and checked against the digests in MODEL. If any cannot be found,
    nothing is built.

    The exit status is 1 if the bytes differ; then outputs, transcripts and error rates are compared. After an
    interruption the same command continues where it stopped.
    """
    with plain_errors():
        import json

        from diminuendo.provenance.places import Places, project_at
        from diminuendo.provenance.reproduce import reproduce as build_again
        from diminuendo.provenance.target import model_of

        places = Places(project_at(project))
        found = list({model.digest: model for model in (model_of(target, places) for target in models)}.values())

        def say(line: str) -> None:
            echo(line, err=True)

        for note in places.notes:
            say(f"note: {note}")
        given = {"data.path": data, "data.collected": collected}
        folders = {parameter: Path(own) for parameter, own in given.items() if own is not None}
        begun = [Path(own) for own in checkpoints]

        def tell(outcome) -> None:
            if not as_json:
                echo(str(outcome))

        place = Path(folder) if folder else None
        outcomes = build_again(found, places, environment, place, keep, say, folders, begun, tell)
        if as_json:
            echo(json.dumps([outcome.as_dict() for outcome in outcomes], indent=1))
        raise SystemExit(int(not all(outcome.is_same for outcome in outcomes)))
