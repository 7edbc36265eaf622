"""What holds for every command, however it is written: no empty values, and no output in the place of an input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from diminuendo.cli.errors import plain_errors
from diminuendo.cli.out import OutFile
from diminuendo.cli.streams import make_ready

WHOLE = 1000  # characters, longer than any sentence


class Commands(click.Group):
    """A group whose commands, and those of groups in it, are all guarded as they are added."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _guard(self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        make_ready()
        return super().__call__(*args, **options)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        super().add_command(cmd, name)
        _guard(cmd)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The first sentence of each command, whole: click's own list cuts it at the edge of the terminal."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(WHOLE)) for name, one in commands if one is not None and not one.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _guard(command: click.Command) -> None:
    for parameter in command.params:
        _refuse_empty(parameter)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _guard(inner)
    elif any(isinstance(parameter.type, OutFile) for parameter in command.params):
        _keep_inputs_of(command)


def _refuse_empty(parameter: click.Parameter) -> None:
    """An empty value, as of a variable that a script has not set, is a mistake: it must not mean "not given"."""
    consume = parameter.consume_value

    def consume_value(context: click.Context, given: Any) -> tuple[Any, ParameterSource]:
        value, source = consume(context, given)
        values = value if isinstance(value, tuple | list) else (value,)
        if source is ParameterSource.COMMANDLINE and "" in values:
            advice = "give a value" if parameter.required else "give a value, or leave it out"
            raise click.BadParameter(f"it is empty; {advice}", context, parameter)
        return value, source

    parameter.consume_value = consume_value  # type: ignore[method-assign]


def _keep_inputs_of(command: click.Command) -> None:
    invoke = command.invoke

    def guarded(context: click.Context) -> Any:
        from diminuendo.core.files import keep_inputs

        targets = {one.name: context.params[one.name] for one in command.params if isinstance(one.type, OutFile)}
        with plain_errors():
            for target in targets.values():
                if target is not None and target.exists():
                    keep_inputs(target, *_files_read(context, targets))
        return invoke(context)

    command.invoke = guarded  # type: ignore[method-assign]


def _files_read(context: click.Context, targets: dict[str | None, Path]) -> Iterator[Path]:
    """The files that are named on the command line, with the weights of models; folders are left to the commands."""
    above = context.parent.params if context.parent else {}
    for name, value in (*context.params.items(), *above.items()):
        if name in targets:
            continue
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, str | Path) and len(str(one)) < 4096 and "\0" not in str(one):
                yield from _with_weights(Path(one))


def _with_weights(path: Path) -> Iterator[Path]:
    from contextlib import suppress

    from diminuendo.artifact.external_data import files_of
    from diminuendo.artifact.lineage import MODEL
    from diminuendo.core.errors import UserError

    for file in (path, path / MODEL):
        with suppress(OSError):
            if not file.is_file():
                continue
            yield file
            with suppress(UserError):  # what is wrong with a model is told by the command
                yield from files_of(file)[1:]
