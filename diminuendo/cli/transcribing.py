"""The commands ``transcribe`` and ``language-model``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diminuendo.cli.errors import plain_errors
from diminuendo.cli.out import OUT_FILE
from diminuendo.cli.prepared import corpus_of_family
from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo, shown
from diminuendo.data.reading.remark import READER

if TYPE_CHECKING:
    from diminuendo.data.reading.remark import Remark
    from diminuendo.runtime import Recognizer, Transcript, Word
    from diminuendo.runtime.recognizer import Search


STDIN = "-"
WINDOW_HELP = "Audio heard at once; less gives words sooner.  [default: 20]"
SUBTITLES = ("srt", "vtt")
FORMATS = ("text", "json", *SUBTITLES)
TASKS = ("transcribe", "translate")
HERTZ = click.IntRange(1000, 768_000)  # what converters have


@click.command()
@click.argument("arguments", metavar="[MODEL] FILES...", type=click.Path(), nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file, with times and confidence per word.")
@click.option("--format", "shape", type=click.Choice(FORMATS), help="Of the output; srt and vtt are subtitles.")
@click.option("--threads", type=click.IntRange(min=0), default=0, show_default="all cores", help="Threads to use.")
@click.option("--window", type=float, metavar="SECONDS", help=WINDOW_HELP)
@click.option("--raw", type=HERTZ, metavar="HERTZ", help="Standard input is mono 16-bit PCM, no wav.")
@click.option("--batch-seconds", type=float, help="Audio of one run, of several files together.  [default: one by one]")
@click.option("--language", metavar="CODE", help="What is spoken, such as de, or auto; of a whole Whisper.")
@click.option(
    "--task", type=click.Choice(TASKS), help="Translate to English, of a whole Whisper.  [default: transcribe]"
)
@click.option("--prompt", metavar="TEXT", help="Names and terms to expect; of a whole Whisper.")
@click.option("--timestamps", is_flag=True, help="Each segment on its own line, with its times; of a whole Whisper.")
@click.option("--language-model", type=click.Path(), metavar="FILE", help="Beam search with this n-gram model (ARPA).")
@click.option("--lm-weight", type=float, help="Factor of the language model's log-probabilities.  [default: 0.5]")
@click.option("--word-score", type=float, help="Log-score of each word; above 0 for more words.  [default: 0]")
@click.option("--beam", type=float, help="Give up what is worse than the best by this log-score.  [default: 16]")
def transcribe(
    arguments: tuple[str, ...],
    as_json: bool,
    shape: str | None,
    threads: int,
    window: float | None,
    raw: int | None,
    batch_seconds: float | None,
    language: str | None,
    task: str | None,
    prompt: str | None,
    timestamps: bool,
    language_model: str | None,
    **weights: float | None,
) -> None:
    """Transcribe audio FILES of any length with MODEL.

    MODEL is an .onnx file or the folder of one, a member's name, a digest, or a name in the registry such as
    home@champion; the first argument is a model if it can be no recording: no file is there, and it has no suffix.
    Without a model, the one that comes with diminuendo is taken, which knows the ten English digits. A whole Whisper
    also takes --language, --task, --prompt and --timestamps.

    A file that cannot be read is reported on standard error; the others are transcribed and the exit status is 1. One
    in which no words are heard gets an empty line, and a note on standard error.

    With - for FILES a wav (or --raw samples) is read from standard input, and each word is written once it is final;
    flac and mp3 work as files only. After Ctrl-C the remaining words are written.
    """
    failed = False
    with plain_errors(status=1):
        from diminuendo.bundled import KNOWS, MODEL, split_model
        from diminuendo.cli.named_model import model_file
        from diminuendo.runtime import Recognizer
        from diminuendo.runtime.recognizer import shape_of

        model, files = split_model(arguments)
        model = None if model is None else model_file(model)
        if not files:
            raise UserError(f"{model}: a model, and no recording to transcribe with it; add FILES, or - for a pipe")
        streamed = STDIN in files
        if streamed and len(files) > 1:
            raise UserError("-: standard input is read alone; give the other files to another command")
        if raw is not None and not streamed:
            raise UserError("--raw: only with - for standard input; a file says itself what it holds")
        if streamed and batch_seconds is not None:
            raise UserError("--batch-seconds: not with -, a stream is heard window by window")
        if streamed and sys.stdin is None:
            raise UserError("standard input: it is closed, expected a wav, or --raw HERTZ and bare samples")
        if as_json and shape not in (None, "json"):
            raise UserError(f"--json: not with --format {shape}; leave one of them out")
        shape = "json" if as_json else shape or "text"
        if shape in SUBTITLES and (streamed or len(files) > 1):
            raise UserError(f"--format {shape}: of one recording at a time, from a file; give one FILE")
        if streamed and timestamps:
            raise UserError("--timestamps: not with -, whose words are written as they come; --json tells their times")
        search = _search(language_model, weights)
        options = {"language": language, "task": task, "prompt": prompt, "timestamps": timestamps}
        if model is not None:
            from diminuendo.runtime.trial import try_out

            try_out(model)
        options |= {} if window is None else shape_of(model or MODEL, window)
        recognizer = Recognizer(model or MODEL, threads=threads, search=search, **options)
        if model is None:
            echo(f"model: {MODEL.name}, which comes with diminuendo. {KNOWS}", err=True)
        if streamed:
            _transcribe_standard_input(recognizer, raw, shape == "json")
            return
        if batch_seconds is None:
            found = (_transcript_or_error(recognizer, file) for file in files)
        else:
            found = recognizer.transcribe_batch(files, batch_seconds)
        for file, transcript in zip(files, found):
            if isinstance(transcript, UserError):
                echo(f"error: {transcript}", err=True)
                failed = True
                continue
            for remark in transcript.remarks:
                _say(file, remark)
            for line in _lines(file, transcript, shape, timestamps):
                echo(line if len(files) == 1 or shape != "text" else f"{shown(file)}\t{line}")
            sys.stdout.flush()
            if not transcript.words:
                _say_nothing_was_heard(file, transcript.seconds)
    raise SystemExit(int(failed))


def _lines(file: str, transcript: Transcript, shape: str, timestamps: bool) -> list[str]:
    """What is written of a recording."""
    from diminuendo.runtime.subtitles import as_srt, as_vtt, lines_of

    if shape == "json":
        # A byte of a name that is not UTF-8 is escaped in JSON's own way, and comes back as it was.
        line = json.dumps({"file": file, **transcript.as_dict()}, ensure_ascii=False)
        return [line.encode("utf-8", "backslashreplace").decode()]
    if shape in SUBTITLES:
        written = as_srt if shape == "srt" else as_vtt
        return [written(lines_of(transcript.words, transcript.segments)).removesuffix("\n")]
    if timestamps:
        return [f"{segment.start:.2f}\t{segment.end:.2f}\t{segment.text}" for segment in transcript.segments]
    return [transcript.text]


def _search(language_model: str | None, weights: dict[str, float | None]) -> Search | None:
    given = {name: value for name, value in weights.items() if value is not None}
    if language_model is None:
        if given:
            name = "--" + next(iter(given)).replace("_", "-")
            raise UserError(f"{name}: only with --language-model FILE; without one, decoding is greedy")
        return None
    from diminuendo.decoding import BeamSearch

    return BeamSearch(Path(language_model), **given)


def _say(name: str, remark: Remark) -> None:
    """What is to say of a recording, on one line of standard error."""
    echo(f"{'note' if remark.kind == READER else 'warning'}: {shown(name)}: {remark.message}", err=True)


def _transcript_or_error(recognizer: Recognizer, file: str) -> Transcript | UserError:
    try:
        return recognizer.transcribe(file)
    except UserError as error:
        return error


def _transcribe_standard_input(recognizer: Recognizer, raw: int | None, as_json: bool) -> None:
    """One line of JSON for each word, or the words of one line."""
    from diminuendo.runtime.audio import read_pipe

    remarks: list[Remark] = []
    rate, blocks = read_pipe(sys.stdin.fileno(), raw, remarks.append)
    stream = recognizer.stream(rate)
    said = 0

    def write(words: list[Word]) -> None:
        nonlocal said
        for word in words:
            space = " " * bool(said and word.spaced)
            shown = json.dumps(word.as_dict(), ensure_ascii=False) if as_json else space + word.text
            echo(shown, nl=as_json)
            said += 1
        sys.stdout.flush()

    try:
        try:
            for block in blocks:
                write(stream.push(block))
        except KeyboardInterrupt:  # the usual way to stop a microphone; the remaining words must still be written
            pass
        write(stream.finish())
        if not stream.seconds:
            raise UserError("standard input: no audio came")
    except UserError:
        if said and not as_json:
            echo()  # so that the message begins a line
        raise
    if not as_json:
        echo()
    for remark in remarks:
        _say("standard input", remark)
    if not said:
        _say_nothing_was_heard("standard input", stream.seconds)


def _say_nothing_was_heard(place: str, seconds: float) -> None:
    """An empty line alone would look like a failure."""
    echo(f"note: {shown(place)}: no words were heard in {seconds:.1f} s of audio", err=True)


@click.command("language-model")
@click.argument("out", type=OUT_FILE)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Prepared corpus, by default the family's; only the transcripts of train are read.",
)
@click.option("--order", type=click.IntRange(2, 5), default=3, show_default=True, help="Words of the longest n-gram.")
def language_model(out: Path, corpus: Path | None, order: int) -> None:
    """Write a word n-gram language model (ARPA) of the training transcripts to OUT, for transcribe --language-model."""
    with plain_errors(status=1):
        from diminuendo.core.files import keep_inputs
        from diminuendo.data.prepared import PreparedCorpus
        from diminuendo.decoding import train_language_model

        corpus = corpus or corpus_of_family("--corpus")
        keep_inputs(out, corpus)
        texts = [utterance.text for utterance in PreparedCorpus.open(corpus).train]
        train_language_model(texts, order, out)
        echo(f"{out}: {order}-grams of {len(texts)} transcripts of {corpus}")


def add_to(group: click.Group) -> None:
    """Make the commands of this file part of the command line."""
    for command in (transcribe, language_model):
        group.add_command(command)
