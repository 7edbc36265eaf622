"""Commands that hear: ``transcribe``, and ``language-model`` for what it may expect to hear."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.errors import UserError


@click.command()
@click.argument("model", type=click.Path())
@click.argument("files", type=click.Path(), nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file, with times and confidence per word.")
@click.option("--threads", type=click.IntRange(min=0), default=0, show_default="all cores", help="Threads to use.")
@click.option("--language-model", type=click.Path(), metavar="FILE", help="Search with this ARPA file, beam wide.")
@click.option("--lm-weight", type=float, help="Factor of the language model's log-probabilities.  [default: 0.5]")
@click.option("--word-score", type=float, help="Log-score of each word; above 0 for more words.  [default: 0]")
@click.option("--beam", type=float, help="Give up what is worse than the best by this log-score.  [default: 16]")
def transcribe(
    model: str,
    files: tuple[str, ...],
    as_json: bool,
    threads: int,
    language_model: str | None,
    lm_weight: float | None,
    word_score: float | None,
    beam: float | None,
) -> None:
    """Write what is said in audio FILES of any length, with MODEL (a models/<name>/model.onnx).

    A file that cannot be read is reported on standard error; the others are transcribed and the exit status is 1.
    """
    import json

    failed = False
    with plain_errors(status=1):
        from diminuendo.runtime import Recognizer

        given = {"lm_weight": lm_weight, "word_score": word_score, "beam": beam}
        given = {name: value for name, value in given.items() if value is not None}
        search = None
        if language_model is not None:
            from diminuendo.decoding import BeamSearch

            search = BeamSearch(Path(language_model), **given)
        elif given:
            name = "--" + next(iter(given)).replace("_", "-")
            raise UserError(f"{name}: only with --language-model FILE; without one, decoding is greedy")
        recognizer = Recognizer(model, threads=threads, search=search)
        for file in files:
            try:
                transcript = recognizer.transcribe(file)
            except UserError as error:
                click.echo(f"error: {error}", err=True)
                failed = True
                continue
            if as_json:
                click.echo(json.dumps({"file": file, **transcript.as_dict()}, ensure_ascii=False))
            else:
                click.echo(transcript.text if len(files) == 1 else f"{file}\t{transcript.text}")
            sys.stdout.flush()
    raise SystemExit(int(failed))


@click.command("language-model")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    default=Path("data/prepared"),
    show_default=True,
    metavar="FOLDER",
    help="Prepared corpus; only the transcripts of train are read.",
)
@click.option("--order", type=click.IntRange(2, 5), default=3, show_default=True, help="Words of the longest n-gram.")
def language_model(out: Path, corpus: Path, order: int) -> None:
    """Write a word n-gram language model (ARPA) of the training transcripts to OUT, for transcribe --language-model."""
    with plain_errors(status=1):
        from diminuendo.data.prepared import PreparedCorpus
        from diminuendo.decoding import train_language_model

        texts = [utterance.text for utterance in PreparedCorpus.open(corpus).train]
        train_language_model(texts, order, out)
        click.echo(f"{out}: {order}-grams of {len(texts)} transcripts of {corpus}")


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    for command in (transcribe, language_model):
        group.add_command(command)
