"""What ``diminuendo check`` says of the data: lines, paths, speakers and groups, without a look at the audio."""

import json
import shutil
from pathlib import Path

import pytest

from tests.factories.audio import dummy_corpus, read_manifest, write_manifest
from tests.factories.checked import lines_of, outcome
from tests.factories.minute import minute_params


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Manifests in ``speech``, none of which says a duration, and audio that is none."""
    monkeypatch.chdir(tmp_path)
    dummy_corpus(Path("speech"))
    for split in ("train", "dev", "test"):
        edit(split, duration=None)
    for audio in Path("speech").glob("*.wav"):
        audio.write_bytes(b"no audio is decoded")
    Path("more").mkdir()
    return Path("speech")


def edit(split, only=None, **changes):
    path = Path(f"speech/{split}.jsonl")
    lines = read_manifest(path)
    for number, line in enumerate(lines):
        if only is None or number == only:
            line |= changes
    write_manifest(path, [{key: value for key, value in line.items() if value is not None} for line in lines])


def check(**sections):
    raw = json.loads(json.dumps(minute_params()))
    raw["data"] |= {"source": "manifest", "path": "speech", "collected": "more", "sample_rate": 8000}
    raw["frontend"]["high_hz"] = 3800.0
    raw["ship"] |= {"member": "teacher"}
    for name, section in sections.items():
        raw[name] |= section
    return outcome(raw)


def problems(**sections):
    return lines_of(*check(**sections))


def test_good_data_is_nothing_to_speak_of(source):
    status, _, err = check()
    assert (status, err) == (0, "")


def test_lines_paths_and_speakers_are_looked_at(source):
    (source / "train-003.wav").unlink()
    edit("dev", 1, text=7)
    edit("test", 0, speaker="speaker0")
    edit("test", 2, text="zab")
    found = problems(ship={"member": "nobody"})
    assert len(found) == 5
    assert found[0].startswith("speech/dev.jsonl:2: text: expected text")
    assert found[1].startswith("speech/test.jsonl:1: speaker 'speaker0' has 1 utterance(s) in test")
    assert found[2].startswith("speech/test.jsonl:3: text 'zab': 'z' (U+007A) not in any text of train")
    assert found[3] == "speech/train.jsonl:4: audio_filepath: there is no file 'speech/train-003.wav'"
    assert found[4].startswith("ship.member")
    assert len(problems(text={"unknown": "drop"})) == 3  # such a character is no problem then


def test_collected_recordings_are_looked_at_too(source):
    shutil.copy(source / "test-000.wav", "more/a.wav")
    line = {"audio_filepath": "a.wav", "text": "ab", "speaker": "speaker0"}
    write_manifest(Path("more/test.jsonl"), [line])
    (found,) = problems()
    assert found.startswith("more/test.jsonl:1: speaker 'speaker0'")


def test_many_problems_are_counted(source):
    shutil.rmtree(source)
    dummy_corpus(source, utterances=30)
    edit("train", text="")
    found = problems()
    assert len(found) == 21 and found[-1] == "… and 10 more in the data: 30 × empty text in all"


def test_groups_that_no_line_has_are_a_note_with_the_keys_that_are_there(source):
    edit("test", accent=None)
    status, _, err = check()
    assert status == 0
    assert err == (
        "note: evaluate.group_by: no line of test has 'accent', so there is nothing to score by it; the keys there: "
        "gender, speaker\n"
    )


def test_utterances_without_a_speaker_are_a_note(source):
    edit("train", speaker=None)
    status, _, err = check()
    assert status == 0 and "16 of 24 utterances name no speaker" in err


def test_a_missing_manifest_is_a_problem(source):
    (source / "dev.jsonl").unlink()
    (found,) = problems()
    assert found.startswith("data.path: speech: dev.jsonl missing") and "data.dev_fraction" in found


def test_the_files_of_a_synthetic_source_are_looked_at(source):
    (found,) = problems(data={"source": "synthetic", "path": "more"})[:1]
    assert found == "data.path: more/grammar.yaml is missing, and data.source is synthetic"
