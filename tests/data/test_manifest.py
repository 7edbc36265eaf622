import json
import time

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diminuendo.core.errors import UserError
from diminuendo.data.manifest import read_split
from diminuendo.data.manifest_checks import check_speakers
from diminuendo.data.manifest_splits import read_splits, split_off_dev
from diminuendo.data.validation import SHOWN, Problems
from tests.factories.audio import dummy_corpus, read_manifest, write_manifest


@pytest.fixture
def audio(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"whether it is audio is checked elsewhere")
    return tmp_path


def problems_of(path):
    problems = Problems()
    entries = read_split(path, "train", True, problems)
    return entries, [str(p) for p in problems._found]


def good(**changes):
    return {"audio_filepath": "a.wav", "duration": 1.5, "text": "Turn ON"} | changes


def test_a_good_line(audio):
    path = write_manifest(audio / "train.jsonl", [good(speaker=12, age=6, offset=0.5, nested={"a": [1]}, accent=None)])
    (entry,), found = problems_of(path)
    assert not found
    assert (entry.id, entry.text, entry.speaker, entry.offset, entry.duration) == (
        "train-000001",
        "turn on",
        "12",
        0.5,
        1.5,
    )
    assert entry.path == audio / "a.wav"
    assert entry.keys == {"speaker": "12", "age": 6, "nested": {"a": [1]}}


def test_byte_order_mark_blank_lines_and_windows_line_ends(audio):
    path = audio / "train.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(good()).encode() + b"\r\n\r\n" + json.dumps(good(text="é")).encode())
    entries, found = problems_of(path)
    assert [e.line for e in entries] == [1, 3] and not found


def test_a_duration_that_is_not_said_is_read_from_the_header(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16000)
    lines = [{key: value for key, value in good(**more).items() if key != "duration"} for more in ({}, {"offset": 0.1})]
    (tmp_path / "b.wav").write_bytes(b"no audio")
    lines += [lines[0] | {"offset": 0.5}, lines[0] | {"audio_filepath": "b.wav"}, lines[0] | {"duration": None}]
    path = write_manifest(tmp_path / "train.jsonl", lines)
    entries, found = problems_of(path)
    assert [(e.line, e.offset, e.duration) for e in entries] == [(1, None, 0.5), (2, 0.1, 0.4), (5, None, 0.5)]
    assert len(found) == 2
    assert f"train.jsonl:3: duration: missing, and {tmp_path}/a.wav has 0.500 s, none after 0.5 s" in found[0]
    assert f"train.jsonl:4: duration: missing, and {tmp_path}/b.wav: not audio that can be read" in found[1]
    quick = read_split(path, "train", True, Problems(), headers=False)
    assert [e.line for e in quick] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "not a JSON object in UTF-8"),
        ('["a"]', "expected a JSON object, found a list (['a'])"),
        ('{"audio_filepath": "a.wav", "duration": NaN, "text": "x"}', "NaN is not JSON"),
        (good(duration="1.5"), "duration: expected a number of seconds, found text ('1.5')"),
        (good(duration=True), "duration: expected a number of seconds, found true or false (True)"),
        (good(duration=0), "duration: expected more than 0 seconds, found 0"),
        (good(duration=10**400), "duration: expected a number of seconds, found a number"),
        (good(offset=-1), "offset: expected a number of seconds from 0, found -1"),
        (good(offset="x"), "offset: expected a number of seconds from 0, found text ('x')"),
        (good(text=None), "text: missing"),
        (good(text=["a"]), "text: expected text, found a list"),
        (good(text=" \t"), "text: empty"),
        (good(text="a\u0007"), "text: '\\x07' (U+0007) cannot be part of a text"),
        (good(audio_filepath=""), "audio_filepath: empty"),
        (good(audio_filepath="b.wav"), "audio_filepath: there is no file"),
        (good(audio_filepath="a\u0000.wav"), "audio_filepath: '\\x00' (U+0000) cannot be part of a name"),
        (good(audio_filepath="a\n.wav"), "audio_filepath: '\\n' (U+000A) cannot be part of a name; rename the file"),
        (good(id="a\tb"), "id: '\\t' (U+0009) cannot be part of a name"),
        (good(id="a\n"), "id: '\\n' (U+000A) cannot be part of a name"),
        (good(speaker="a\u2028b"), "speaker: '\\u2028' (U+2028) cannot be part of a name"),
        (good(audio_filepath="."), "audio_filepath: there is no file"),
        (good(speaker=1.5), "speaker: expected text or a whole number, found a number (1.5)"),
        (good(speaker=""), "speaker: empty; leave the key out"),
        (good(gender=["f"]), "gender: expected text or a whole number, found a list"),
        (good(id={}), "id: expected text or a whole number, found an object"),
        (good(note="\ud800"), "note: holds a lone surrogate"),
        ({"text": "x"}, "audio_filepath: missing"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_reason(audio, line, message):
    path = audio / "train.jsonl"
    path.write_text(f"{json.dumps(good())}\n{line if isinstance(line, str) else json.dumps(line)}\n")
    entries, found = problems_of(path)
    assert len(entries) == 1
    assert any(message in problem for problem in found), found
    assert all(problem.startswith(f"{path}:2: ") for problem in found)


def test_every_problem_of_a_line_is_told(audio):
    path = write_manifest(audio / "train.jsonl", [{"duration": "1", "text": 5, "speaker": []}])
    assert len(problems_of(path)[1]) == 4


def test_an_id_is_used_once(audio):
    path = write_manifest(audio / "train.jsonl", [good(id="x"), good(id="y"), good(id="x")])
    entries, found = problems_of(path)
    assert [e.id for e in entries] == ["x", "y"]
    assert found == [f"{path}:3: id 'x' is that of line 1 too"]


def test_an_empty_manifest_is_a_problem(audio):
    assert "no lines" in problems_of(write_manifest(audio / "train.jsonl", []))[1][0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
known_keys = st.sampled_from(
    ["audio_filepath", "duration", "text", "offset", "id", "speaker", "gender", "accent", "age_group"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.one_of(
        st.binary(),
        st.dictionaries(known_keys | st.text(), json_values).map(lambda d: json.dumps(d).encode()),
    )
)
def test_any_line_is_taken_or_told_but_never_raises(audio, raw):
    path = audio / "train.jsonl"
    path.write_bytes(json.dumps(good(id="first")).encode() + b"\n" + raw + b"\n")
    entries, found = problems_of(path)
    for problem in found:
        problem.encode()  # can be printed
    told = {int(problem.removeprefix(f"{path}:").split(":")[0]) for problem in found}
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            assert (number in told) != (number in {e.line for e in entries})


def test_missing_files_say_what_to_do(tmp_path):
    corpus = dummy_corpus(tmp_path / "corpus")
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        read_splits(tmp_path / "nowhere", True, None, 1, Problems())
    with pytest.raises(UserError, match=r"dev.jsonl is there and data.dev_fraction is set"):
        read_splits(corpus, True, 0.2, 1, Problems())
    (corpus / "dev.jsonl").unlink()
    with pytest.raises(UserError, match=r"dev.jsonl missing.*set data.dev_fraction"):
        read_splits(corpus, True, None, 1, Problems())
    (corpus / "test.jsonl").unlink()
    with pytest.raises(UserError, match=r"test.jsonl missing") as error:
        read_splits(corpus, True, 0.2, 1, Problems())
    assert "dev.jsonl missing" not in str(error.value)


def test_dev_is_split_off_by_speaker_and_repeatably(tmp_path):
    corpus = dummy_corpus(tmp_path / "corpus", utterances=40, speakers=8)
    (corpus / "dev.jsonl").unlink()
    everyone = read_manifest(corpus / "train.jsonl")
    splits = read_splits(corpus, True, 0.2, 1, Problems())
    again = read_splits(corpus, True, 0.2, 1, Problems())
    assert splits == again
    assert len(splits["dev"]) == 10  # two whole speakers of five utterances each
    assert {e.speaker for e in splits["dev"]}.isdisjoint(e.speaker for e in splits["train"])
    assert len(splits["dev"]) + len(splits["train"]) == len(everyone)
    assert any(read_splits(corpus, True, 0.2, seed, Problems())["dev"] != splits["dev"] for seed in range(2, 6))


def test_dev_cannot_take_the_only_speaker(tmp_path):
    corpus = dummy_corpus(tmp_path / "corpus", speakers=1)
    train = read_split(corpus / "train.jsonl", "train", True, Problems())
    with pytest.raises(UserError, match="needs two speakers or more"):
        split_off_dev(train, 0.5, 1)


def test_a_speaker_in_two_splits_is_told_with_both_places(tmp_path):
    corpus = dummy_corpus(tmp_path / "corpus")
    lines = read_manifest(corpus / "test.jsonl")
    lines[2]["speaker"] = "speaker1"
    del lines[3]["speaker"]
    write_manifest(corpus / "test.jsonl", lines)
    problems = Problems()
    splits = read_splits(corpus, True, None, 1, problems)
    assert check_speakers(splits, problems) == 1
    (problem,) = problems._found
    assert str(problem).startswith(f"{corpus / 'test.jsonl'}:3: speaker 'speaker1' has 1 utterance(s) in test")
    assert f"{corpus / 'train.jsonl'}:2" in str(problem)


def test_a_long_list_is_cut_counted_and_kept_whole_in_a_file(tmp_path):
    problems = Problems()
    for line in range(1, 2 * SHOWN + 1):
        problems.add("train.jsonl", line, "missing file" if line % 2 else "bad JSON", f"reason {line}")
    report = tmp_path / "work" / "report.txt"
    with pytest.raises(UserError) as error:
        problems.stop(report)
    message = str(error.value)
    assert f"{2 * SHOWN} problem(s)" in message and f"{SHOWN} × missing file, {SHOWN} × bad JSON" in message
    assert f"reason {SHOWN}\n" in message and f"reason {SHOWN + 1}\n" not in message and f"{SHOWN} more" in message
    assert str(report) in message
    assert len(report.read_text().splitlines()) == 2 * SHOWN
    Problems().stop(report)
    assert not report.exists()


def test_a_line_of_very_many_keys_is_read_or_refused_soon(audio):
    many = {f"k{number}": number for number in range(50_000)}
    path = audio / "train.jsonl"
    twice = json.dumps(good(**many))[:-1] + ', "k49999": 1}'
    path.write_text(json.dumps(good(id="a", **many)) + "\n" + twice + "\n")
    begin = time.process_time()
    entries, found = problems_of(path)
    assert time.process_time() - begin < 3
    assert len(entries) == 1 and len(found) == 1 and "the key 'k49999' is there twice" in found[0]
