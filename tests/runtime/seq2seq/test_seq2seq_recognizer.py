"""Files of format 2: from waveforms of any length to words, segments and languages."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from diminuendo import Recognizer, Stream, UserError
from diminuendo.runtime.seq2seq.model import TextModel
from diminuendo.runtime.seq2seq.recognizer import Seq2SeqRecognizer
from tests.factories import onnx_models
from tests.factories.text_models import (
    SAMPLE_RATE,
    SPECIAL,
    TOKENS,
    speak,
    time_token,
    tokens_of,
    write_text_model,
)

HELLO = tokens_of(" hello", "!", " to", "o")
STAMPS = [time_token(0), time_token(1.2), time_token(2.0), time_token(2.4)]


def letters(text: str, at: float, every: float = 0.1) -> list[tuple[float, int]]:
    return [(round(at + every * place, 2), token) for place, token in enumerate(tokens_of(*text))]


def long_recording() -> np.ndarray:
    """7 s: a segment that the first window does not end, is heard again in the second; the third is short."""
    first = [(0, STAMPS[0]), *letters(" ab", 0.3), (2.76, time_token(2.8)), (2.78, time_token(2.8))]
    second = [(2.8, STAMPS[0]), *letters(" xyz", 2.9), (4.6, STAMPS[2])]
    third = [(5.8, STAMPS[0]), *letters(" fg", 6.0), (6.5, STAMPS[3])]
    return speak([*first, *second, *third], 7.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_text_model(tmp_path_factory.mktemp("text") / "model.onnx")


@pytest.fixture(scope="module")
def recognizer(model):
    return Recognizer(model, threads=1)


@pytest.fixture
def asked(monkeypatch):
    """What every run of a model was asked for."""
    calls, write = [], TextModel.write

    def noted(self, waveforms, prompt=None, most=None, temperature=0.0, seed=0, aligned=True):
        calls.append({"seconds": [len(one) / SAMPLE_RATE for one in waveforms], "prompt": prompt, "at": temperature})
        return write(self, waveforms, prompt, most, temperature, seed, aligned)

    monkeypatch.setattr(TextModel, "write", noted)
    return calls


def test_the_class_is_that_of_the_format(recognizer, tmp_path):
    assert type(recognizer) is Seq2SeqRecognizer
    assert type(Recognizer(onnx_models.write_model(tmp_path / "ctc.onnx"), threads=1)) is Recognizer


def test_words_have_times_and_confidence(recognizer):
    said = [(0.2, tokens_of(" hello")[0]), (0.8, tokens_of(" to")[0]), (1.0, tokens_of("o,")[0])]
    transcript = recognizer.transcribe(speak([*said, *letters(" w", 1.3), *letters("or", 1.6)], 2.0))
    assert transcript.text == "hello too, wor" and transcript.seconds == 2.0 and transcript.language == "en"
    assert [word.confidence for word in transcript.words] == pytest.approx(np.exp([-0.1, -0.2, -0.3]), abs=1e-3)
    for word, at in zip(transcript.words, (0.2, 0.8, 1.4)):
        assert word.start <= at < word.end, word
    (segment,) = transcript.segments
    assert segment.words == transcript.words and (segment.start, segment.end) == (0.0, 2.0)
    shown = json.loads(json.dumps(transcript.as_dict()))
    assert shown["segments"][0]["text"] == shown["text"] and shown["language"] == "en"


def test_what_the_evaluation_needs(recognizer):
    waveform = speak(tokens_of(" hello", " to", "o,"))
    assert recognizer.text_of(waveform) == "hello too,"
    found = recognizer.hypothesis(waveform)
    assert (found.text, found.tokens, found.frames, found.blank_frames) == ("hello too,", 3, None, None)
    assert recognizer.text_of(np.zeros(100, np.float32)) == ""
    with pytest.raises(UserError, match="no path through frames"):
        recognizer.greedy_path(waveform)


def test_the_same_of_a_file_with_ctc(tmp_path):
    recognizer = Recognizer(onnx_models.write_model(tmp_path / "ctc.onnx"), threads=1)
    waveform = onnx_models.speak("hello world")
    path, found = recognizer.greedy_path(waveform), recognizer.hypothesis(waveform)
    assert found.text == recognizer.text_of(waveform) == "hello world" and found.tokens is None
    assert (found.frames, found.blank_frames) == (len(path), int((path == 0).sum()))


def test_facts_and_the_model(recognizer, model):
    facts = recognizer.facts
    assert facts.name == recognizer.model.name == "teacher" and facts.bytes == model.stat().st_size
    assert facts.sample_rate == recognizer.model.sample_rate == SAMPLE_RATE
    assert facts.tokens[SPECIAL["en"]] == "" and facts.tokens[: SPECIAL["end"]] == tuple(TOKENS[: SPECIAL["end"]])


def test_windows_of_a_long_recording_begin_where_segments_end(recognizer, asked):
    transcript = recognizer.transcribe(long_recording())
    assert [(s.start, s.end, s.text) for s in transcript.segments] == [
        (0.0, 2.8, "ab"),
        (2.8, 4.8, "xyz"),
        (5.8, 7.0, "fg"),
    ]
    assert transcript.text == "ab xyz fg" and transcript.seconds == 7.0
    assert [call["seconds"] for call in asked] == [[3.0], [3.0], [1.2]]
    start = (SPECIAL["start"], SPECIAL["en"], SPECIAL["transcribe"])
    assert asked[0]["prompt"] == start
    before = [STAMPS[0], *tokens_of(*" ab"), time_token(2.8)]
    assert asked[1]["prompt"] == (SPECIAL["prev"], *before, *start)
    for word in transcript.words:
        segment = next(s for s in transcript.segments if word in s.words)
        assert segment.start <= word.start <= word.end <= segment.end


@pytest.mark.parametrize("piece", [700, 8000, 23_999])
def test_a_stream_gives_the_words_of_the_whole(recognizer, piece):
    waveform = long_recording()
    stream = recognizer.stream()
    assert isinstance(stream, Stream)
    found, early = [], 0
    for begin in range(0, len(waveform), piece):
        found += stream.push(waveform[begin : begin + piece])
        early = max(early, len(found))
    assert early == 2 and stream.seconds == 7.0
    assert tuple(found + stream.finish()) == recognizer.transcribe(waveform).words and stream.finish() == []


def test_several_in_one_run_are_as_one_by_one(recognizer, asked, tmp_path):
    short = [speak(tokens_of(" hello")), speak(tokens_of(*" a b c")), speak(HELLO)]
    soundfile.write(tmp_path / "a.wav", speak(tokens_of(*" file")), SAMPLE_RATE)
    recordings = [*short, long_recording(), tmp_path / "missing.wav", np.zeros(800, np.float32), tmp_path / "a.wav"]
    found = list(recognizer.transcribe_batch(recordings))
    assert max(len(call["seconds"]) for call in asked) > 2
    assert isinstance(found[4], UserError) and found[6].text == "file"
    for recording, one in zip(recordings, found):
        if not isinstance(one, UserError):
            assert one == recognizer.transcribe(recording)


def test_what_is_long_is_given_before_the_next_is_read(recognizer):
    read = []

    def recordings():
        for index in range(5):
            read.append(index)
            yield long_recording() if index else speak(HELLO)

    found = recognizer.transcribe_batch(recordings())
    assert next(found) == recognizer.transcribe(speak(HELLO)) and read == [0, 1]
    assert next(found) == recognizer.transcribe(long_recording()) and read == [0, 1]
    assert len(list(found)) == 3


def test_silence_is_no_words_and_costs_no_run(recognizer, asked):
    transcript = recognizer.transcribe(np.zeros(10 * SAMPLE_RATE, np.float32))
    assert transcript.words == () and transcript.seconds == 10.0 and asked == []
    speech = np.concatenate([np.zeros(3 * SAMPLE_RATE, np.float32), speak([*letters(" a", 0.2)], 1.0)])
    (word,) = recognizer.transcribe(speech).words
    assert word.text == "a" and 3.0 < word.start < 4.0 and len(asked) == 1


def test_where_nobody_speaks_an_unlikely_text_is_dropped(recognizer, asked):
    transcript = recognizer.transcribe(speak(tokens_of(*" you ~")))
    assert transcript.words == () and [call["at"] for call in asked] == [0.0]
    assert recognizer.text_of(speak(tokens_of(*" you ~"))) == "you ~"


def test_an_unlikely_text_is_written_once_more_warmer(recognizer, model, asked, tmp_path):
    transcript = recognizer.transcribe(speak(HELLO))
    assert [call["at"] for call in asked] == [0.0, 0.2] and transcript.words[0].confidence > 0.7
    asked.clear()
    repeated = recognizer.transcribe(speak(tokens_of(*" ha" * 12), 2.9))
    assert [call["at"] for call in asked] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] and repeated.text == " ".join(["ha"] * 12)
    asked.clear()
    cold = Recognizer(write_text_model(tmp_path / "cold.onnx", temperature=False), threads=1)
    assert cold.transcribe(speak(HELLO)).words[0].confidence < 0.1 and len(asked) == 1


def test_the_language_that_is_heard(model, asked):
    transcript = Recognizer(model, threads=1, language="auto", task="translate").transcribe(speak(HELLO[:1]))
    assert transcript.language == "de" and transcript.text == "hello"
    told = (SPECIAL["start"], SPECIAL["de"], SPECIAL["translate"], SPECIAL["notimestamps"])
    assert [call["prompt"] for call in asked] == [[SPECIAL["start"]], told]


def test_a_text_that_stands_before(model, asked):
    Recognizer(model, threads=1, prompt=" hello too").transcribe(speak(HELLO[:1]))
    said = (SPECIAL["prev"], *tokens_of(" hello", " to", "o"))
    assert asked[0]["prompt"][:4] == said
    Recognizer(model, threads=1, prompt="x " * 900).transcribe(speak(HELLO[:1]))
    assert len(asked[1]["prompt"]) == 1 + 63 + 4  # half of the positions


def test_timestamps_cut_a_short_recording_too(model):
    waveform = speak(
        [
            (0, STAMPS[0]),
            *letters(" a", 0.3),
            (0.7, STAMPS[1]),
            (0.72, STAMPS[2]),
            *letters(" b", 2.1),
            (2.3, STAMPS[3]),
        ],
        2.5,
    )
    plain, cut = (Recognizer(model, 1, timestamps=timestamps).transcribe(waveform) for timestamps in (False, True))
    assert plain.text == cut.text == "a b"
    assert [(s.start, s.end) for s in plain.segments] == [(0.0, 2.5)]
    assert [(s.start, s.end) for s in cut.segments] == [(0.0, 1.2), (2.0, 2.4)]


def test_without_alignment_words_share_the_time_of_their_segment(tmp_path):
    recognizer = Recognizer(write_text_model(tmp_path / "model.onnx", alignment=False), threads=1)
    words = recognizer.transcribe(speak(tokens_of(*" ab cd"), 2.0)).words
    assert [(word.text, word.start, word.end) for word in words] == [("ab", 0.3333, 1.0), ("cd", 1.3333, 2.0)]


def test_a_file_that_knows_english_alone(tmp_path, asked):
    path = write_text_model(tmp_path / "model.onnx", languages=False)
    transcript = Recognizer(path, threads=1, language="en").transcribe(speak(HELLO[:1]))
    assert transcript.text == "hello" and transcript.language is None
    assert asked[0]["prompt"] == (SPECIAL["start"], SPECIAL["notimestamps"])
    assert Recognizer(path, threads=1, language="auto").transcribe(speak(HELLO[:1])).text == "hello"
    with pytest.raises(UserError, match="does not know 'de'; it knows en alone"):
        Recognizer(path, language="de")
    with pytest.raises(UserError, match="cannot translate"):
        Recognizer(path, task="translate")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"language": "klingon"}, "does not know 'klingon'; it knows de, en"),
        ({"task": "sing"}, "'sing', expected transcribe or translate"),
        ({"window_seconds": 0.5}, r"window_seconds: 0\.5, the shortest window is 1"),
        ({"window_seconds": float("nan")}, "window_seconds: nan, the shortest window is 1"),
        ({"context_seconds": 1.0}, "context_seconds: .* takes none"),
        ({"search": object()}, "language model.*takes none"),
    ],
)
def test_options_that_make_no_sense(model, options, problem):
    with pytest.raises(UserError, match=problem):
        Recognizer(model, **options)


@pytest.mark.parametrize("option", [{"language": "en"}, {"task": "translate"}, {"prompt": "a"}, {"timestamps": True}])
def test_a_file_with_ctc_takes_none_of_them(tmp_path, option):
    path = onnx_models.write_model(tmp_path / "ctc.onnx")
    with pytest.raises(UserError, match=f"{next(iter(option))}: .*has CTC and takes none"):
        Recognizer(path, **option)


def test_a_smaller_window_gives_words_sooner(model, asked):
    recognizer = Recognizer(model, threads=1, window_seconds=1.5)
    waveform = speak([*letters(" a", 0.3), *letters(" b", 1.8)], 2.9)
    assert recognizer.transcribe(waveform).text == "a b" and [call["seconds"] for call in asked] == [[1.5], [1.4]]
