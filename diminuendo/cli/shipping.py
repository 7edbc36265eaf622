"""Commands that decide what is shipped: ``gate``, ``promote``, ``rollback``, ``registry`` and ``fetch``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.cli.out import OUT_FILE, keep_model
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo
from diminuendo.family import current as current_family

if TYPE_CHECKING:
    from diminuendo.parameters import Params
    from diminuendo.registry import Version

NONE = "none"
NO = 1  # exit status if the answer is no

_model = click.argument("model", required=False, metavar="[MEMBER|FILE]")
_tests = click.option(
    "--test",
    "tests",
    multiple=True,
    type=click.Path(),
    metavar="FOLDER",
    help="Prepared corpus whose test split is judged on, by default the family's; may be repeated: every one counts.",
)
_teacher = click.option(
    "--teacher", type=click.Path(path_type=Path), metavar="FILE", help="By default the one that the lineage names."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_model
@_tests
@_teacher
@click.option(
    "--champion",
    metavar="FILE|none",
    help="What to compare with: a file, or none. By default the champion of the registry.",
)
@_json
def gate(model: str | None, tests: tuple[str, ...], teacher: Path | None, champion: str | None, as_json: bool) -> None:
    """Judge whether a model may be shipped.

    A member of the family, or any model file, is held against the limits in params.yaml; by default ship.member. Its
    time is measured by turns with that of the teacher, so leave the machine alone meanwhile. The decision is logged to
    MLflow as a run of its own.

    Exit status: 0 it may be shipped, 1 it may not, 2 bad input.
    """
    with plain_errors(extra="pipeline"):
        from diminuendo.gate.table import terminal

        params, path = _params_and_file(model)
        with _refusals():
            decision = _judge(params, path, tests, teacher, _reference(params, champion))
        _print_json(decision.as_dict() | {"run": decision.run}) if as_json else echo(terminal(decision))
    raise SystemExit(0 if decision.passed else NO)


@click.command()
@_model
@_tests
@_teacher
@click.option("--challenger", is_flag=True, help="Register it as challenger and leave the champion where it is.")
@click.option("--force", is_flag=True, help="Promote what the gate refuses or a rollback withdrew; needs --reason.")
@click.option("--reason", default="", metavar="TEXT", help="Why it is forced; kept with the version.")
@click.option("--git-tag", metavar="TAG", help="Git tag of the run that made it; kept with the version.")
@click.option("--card", type=OUT_FILE, metavar="FILE", help="Write the model card here, too.")
def promote(
    model: str | None,
    tests: tuple[str, ...],
    teacher: Path | None,
    challenger: bool,
    force: bool,
    reason: str,
    git_tag: str | None,
    card: Path | None,
) -> None:
    """Run the gate, register what passes, and make it the champion (by default ship.member).

    Exit status: 0 it is champion now, 1 the gate refused it, 2 bad input.
    """
    with plain_errors(extra="pipeline"):
        if force and not reason.strip():
            raise UserError("--force needs --reason TEXT: whoever finds the version later must know why")
        params, path = _params_and_file(model)
        from diminuendo import registry
        from diminuendo.gate.inputs import open_model
        from diminuendo.gate.table import terminal
        from diminuendo.signing import Untrusted, policy_of

        file, current, policy = open_model(path), registry.champion(params.ship.model), policy_of(params.ship)
        if card is not None:
            from diminuendo.core.files import keep_inputs

            keep_model(card, path)
            key = None if params.ship.key is None else Path(params.ship.key)
            keep_inputs(card, current_family().params, key, *(tests or [current_family().corpus]))
        with _refusals():
            signature = policy.admit_file(file.path, file.digest, file.lineage)
            if current is not None and current.digest == file.digest and card is None and registry.is_whole(current):
                if signature is not None:
                    registry.attach(current, signature)  # it was signed since
                # And finish what a killed command left undone.
                registry.promote(current, git_tag=git_tag, policy=policy)
                echo(f"{file.name} is the champion already: {current.address}")
                return
            judged_by = current
            if current is not None and current.digest != file.digest:
                try:
                    current.admit(policy)
                except Untrusted as error:
                    if not force:
                        raise Untrusted(f"{error}; or replace this champion with --force --reason TEXT") from None
                    judged_by = None  # nothing is compared with what nobody vouches for
            decision = _judge(params, path, tests, teacher, judged_by)
        echo(terminal(decision))
        if card is not None:
            from diminuendo.core.files import write_text
            from diminuendo.registry.card import model_card

            write_text(card, model_card(params.ship.model, file, decision, "" if decision.passed else reason))
        if not decision.passed and not force:
            raise SystemExit(NO)
        with _refusals():
            version = registry.register(params, path, decision, git_tag=git_tag, force=force, reason=reason)
            if not challenger:
                against = current.digest if current else None
                version = registry.promote(version, judged_against=against, force=force, reason=reason, policy=policy)
        echo(f"{version.address} ({version.member}) is now {', '.join(version.aliases) or 'registered'}")


@click.command()
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the version that is withdrawn.")
def rollback(reason: str) -> None:
    """Make the previous champion champion again; may be repeated."""
    with plain_errors(extra="pipeline"):
        from diminuendo import registry
        from diminuendo.signing import policy_of

        ship = _ship(_params())
        with _refusals():
            withdrawn, now = registry.rollback(ship.model, reason, policy_of(ship))
        echo(f"{withdrawn.address} ({withdrawn.member}) is withdrawn")
        echo(f"{now.address} ({now.member}, {now.digest[:12]}) is champion")


@click.command("registry")
@_json
def show_registry(as_json: bool) -> None:
    """List the versions of ship.model: aliases, digests, error rates, dates."""
    with plain_errors(extra="pipeline"):
        from diminuendo import registry
        from diminuendo.registry.store import existing_store, no_store
        from diminuendo.registry.table import terminal

        name = _ship(_params()).model
        found = registry.versions(name)
        if not found:
            with existing_store() as store:
                if store is None:
                    raise no_store()
        if as_json:
            _print_json([version.as_dict() for version in found])
        else:
            echo(terminal(found) if found else f"{name}: nothing is registered yet; see `diminuendo promote`")


@click.command()
@click.argument("address", metavar="NAME@ALIAS")
@click.argument("out", type=OUT_FILE)
@click.option("--key", type=click.Path(path_type=Path), metavar="PUBLIC", help="Key that must have signed it.")
def fetch(address: str, out: Path, key: Path | None) -> None:
    """Write the registered model NAME@ALIAS (or NAME/VERSION) to OUT, its digest checked.

    `diminuendo fetch home@champion model.onnx`

    Its signature, if it has one, is written to OUT.sig. Without --key, the one that ship.key of params.yaml names is
    used, and a note says if neither a key nor a commit of this project vouches for the file.
    """
    with plain_errors(extra="pipeline"):
        from diminuendo import registry
        from diminuendo.core.files import keep_inputs
        from diminuendo.provenance.places import Places, find_project
        from diminuendo.provenance.shops import policy_for
        from diminuendo.provenance.vouching import vouching
        from diminuendo.registry.address import parse
        from diminuendo.signing import Policy, read_public, signature_path

        keep_inputs(signature_path(out), key)  # it is written beside the model
        project = find_project()
        policy = Policy(read_public(key), required=True) if key else policy_for(parse(address).name, project)
        with _refusals():
            version = registry.fetch(address, out, policy)
        echo(f"{out}: {version.address} ({version.member}), {version.digest}")
        if policy.key is not None and signature_path(out).exists():
            echo(f"{signature_path(out)}: signed with key {policy.key.id[:12]}")
        elif project is not None and not (found := vouching(out, version.member, Places(project))):
            echo(f"note: nobody vouches for this file: it is not signed, and {found.words}", err=True)


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer no where what is asked for is well formed and may not be done."""
    from diminuendo.registry import Refused
    from diminuendo.signing import Untrusted

    try:
        yield
    except (Refused, Untrusted) as error:
        echo(f"refused: {error}", err=True)
        raise SystemExit(NO) from None


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    for command in (gate, promote, rollback, show_registry, fetch):
        group.add_command(command)


def _params() -> Params:
    from diminuendo.parameters import load_params

    return load_params(current_family().params)


def _ship(params: Params) -> Any:
    if params.ship is None:
        raise UserError("params.yaml: ship: missing; it says which member is shipped and under which name")
    return params.ship


def _params_and_file(model: str | None) -> tuple[Params, Path]:
    from diminuendo.core.extras import is_installed
    from diminuendo.gate.inputs import member_or_file

    if not is_installed("mlflow"):  # said before anything is read, since the file alone can be read without
        raise ModuleNotFoundError(name="mlflow")
    params = _params()
    ship = _ship(params)
    return params, member_or_file(model or ship.member, list(params.members))


def _reference(params: Params, champion: str | None) -> Version | Path | None:
    if champion == NONE:
        return None
    if champion is not None:
        return Path(champion)
    from diminuendo import registry

    return registry.champion(params.ship.model)


def _judge(params: Params, path: Path, tests: tuple[str, ...], teacher: Path | None, champion: Version | Path | None):
    from diminuendo.gate import gate as judge
    from diminuendo.registry.logged import fetch_logged
    from diminuendo.runtime.trial import try_out

    try_out(path)
    family = current_family()
    folders = [Path(folder) for folder in dict.fromkeys(tests)] or [family.corpus]
    names = [folder.name for folder in folders]
    labels = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders)]
    return judge(
        params,
        path,
        tests=dict(zip(labels, folders)),
        champion=champion,
        fetch=fetch_logged,
        teacher=teacher,
        evaluation=family.evaluation,
        say=lambda line: echo(line, err=True),
    )


def _print_json(value: Any) -> None:
    import json

    echo(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False))
