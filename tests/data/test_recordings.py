import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.core.files import sha256_of
from diminuendo.data.prepare import prepare
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.data.recordings import ctc_frames, in_order
from diminuendo.data.text import CharacterTokenizer, VocabularyTokenizer
from stages.prepare import corpus_settings
from tests.factories.audio import (
    RATE,
    dummy_corpus,
    manifest_params,
    prepare_corpus,
    read_manifest,
    spoken,
    write_manifest,
)


@pytest.fixture
def source(tmp_path):
    return dummy_corpus(tmp_path / "source")


def run(source, out, workers=2, **changes):
    out.mkdir(parents=True)
    said = []
    report = source / "report.txt"
    prepare_corpus(manifest_params(source, **changes), out, workers=workers, say=said.append, report=report)
    return PreparedCorpus.open(out), said


def refused(source, **changes):
    with pytest.raises(UserError) as error:
        run(source, source.parent / "refused", **changes)
    return str(error.value)


def edit(path, index, **changes):
    lines = read_manifest(path)
    lines[index] = {key: value for key, value in (lines[index] | changes).items() if value != "remove"}
    write_manifest(path, lines)


def test_what_comes_out_is_what_was_put_in(source, tmp_path):
    edit(source / "train.jsonl", 0, room="kitchen", age=7)
    corpus, said = run(source, tmp_path / "out")
    for split in ("train", "dev", "test"):
        for line, utterance in zip(read_manifest(source / f"{split}.jsonl"), corpus.split(split), strict=True):
            assert (utterance.id, utterance.text, utterance.speaker) == (
                line["id"],
                line["text"],
                line["speaker"],
            )
            assert utterance.group("accent") == line["accent"]
            original, _ = soundfile.read(source / line["audio_filepath"], dtype="float32")
            np.testing.assert_allclose(corpus.audio(utterance), original, atol=1e-4)
    assert corpus.train[0].group("room") == "kitchen" and corpus.train[0].group("age") == "7"
    assert corpus.tokens == ["<blank>", "▁", "a", "b", "c", "d", "e"]
    assert any(line.startswith("train: 16 utterances") for line in said)


def test_another_rate_and_format_give_the_same_sound(tmp_path):
    plain, _ = run(dummy_corpus(tmp_path / "wav"), tmp_path / "out-wav")
    flac = dummy_corpus(tmp_path / "flac", rate=22050, extension="flac")
    resampled, _ = run(flac, tmp_path / "out-flac")
    assert resampled.sample_rate == RATE
    for a, b in zip(plain.test, resampled.test):
        assert a.duration == pytest.approx(b.duration, abs=0.005) and a.text == b.text
        spectra = [np.abs(np.fft.rfft(c.audio(u), 8192)) for c, u in ((plain, a), (resampled, b))]
        assert np.corrcoef(*spectra)[0, 1] > 0.8


def test_a_prepared_corpus_is_itself_a_source(source, tmp_path):
    first, _ = run(source, tmp_path / "first")
    second, _ = run(first.folder, tmp_path / "second", workers=1)
    assert files_but_sources(second) == files_but_sources(first)


def files_but_sources(corpus):
    return {name: digest for name, digest in corpus.summary["files"].items() if name != "sources.json"}


def test_every_raw_file_is_named_with_its_digest_and_no_folder_of_this_machine(source, tmp_path):
    corpus, _ = run(source, tmp_path / "out")
    shutil.copytree(source, tmp_path / "elsewhere")
    moved, _ = run(tmp_path / "elsewhere", tmp_path / "moved")
    assert moved.digest == corpus.digest
    listed = json.loads((corpus.folder / "sources.json").read_text())["files"]["data.path"]
    manifests = [f"{split}.jsonl" for split in ("train", "dev", "test")]
    used = [line["audio_filepath"] for manifest in manifests for line in read_manifest(source / manifest)]
    assert listed == {name: sha256_of(source / name) for name in [*used, *manifests]}


def test_audio_outside_of_the_folder_has_one_name_whatever_way_leads_to_the_folder(source, tmp_path):
    lines = read_manifest(source / "train.jsonl")
    for index, line in enumerate(lines[:2]):
        name = line["audio_filepath"]
        (source / name).rename(tmp_path / name)
        line["audio_filepath"] = (str(tmp_path / name), f"../{name}")[index]
    write_manifest(source / "train.jsonl", lines)
    corpus, _ = run(source, tmp_path / "out")
    listed = json.loads((corpus.folder / "sources.json").read_text())["files"]["data.path"]
    assert {line["audio_filepath"] for line in lines[:2]} <= set(listed)
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "far/away/linked").symlink_to(source)
    linked, _ = run(tmp_path / "far/away/linked", tmp_path / "again")
    assert linked.digest == corpus.digest


def collect(folder, split, names, **changes):
    """A folder of collected recordings, none of them in a source."""
    folder.mkdir(exist_ok=True)
    lines = []
    for index, name in enumerate(names):
        sound = spoken("dad cab", 9, np.random.default_rng([99, index, len(split)]))
        soundfile.write(folder / name, sound, RATE)
        keys = {"text": "dad cab", "speaker": f"new {split}", **changes}
        lines.append({"audio_filepath": name, "duration": len(sound) / RATE, **keys})
    write_manifest(folder / f"{split}.jsonl", lines)
    return folder


def test_collected_recordings_come_after_those_of_the_source(source, tmp_path):
    plain, _ = run(source, tmp_path / "plain")
    folder = collect(tmp_path / "collected", "train", ["a.wav", "b.wav"], batch="week 1")
    collect(folder, "test", ["c.wav"])
    changes = {"data.collected": str(folder)}
    corpus, _ = run(source, tmp_path / "more", **changes)
    for split, count in (("train", 2), ("dev", 0), ("test", 1)):
        own = len(plain.split(split))
        assert [u.id for u in corpus.split(split)[:own]] == [u.id for u in plain.split(split)]
        assert len(corpus.split(split)) == own + count
    assert [u.group("batch") for u in corpus.train[-3:]] == [None, "week 1", "week 1"]
    listed = json.loads((corpus.folder / "sources.json").read_text())["files"]["data.collected"]
    assert sorted(listed) == ["a.wav", "b.wav", "c.wav", "test.jsonl", "train.jsonl"]


def test_collected_recordings_are_checked_against_the_source(source, tmp_path):
    folder = collect(tmp_path / "collected", "train", ["a.wav", "b.wav"])
    edit(folder / "train.jsonl", 0, speaker=read_manifest(source / "test.jsonl")[0]["speaker"])
    edit(folder / "train.jsonl", 1, id=read_manifest(source / "train.jsonl")[0]["id"])
    message = refused(source, **{"data.collected": str(folder)})
    assert "1 × speaker in two splits" in message and "1 × duplicate id" in message


def test_a_folder_of_collected_recordings_that_is_not_there_is_refused(source, tmp_path):
    assert "data.collected: there is no folder" in refused(source, **{"data.collected": str(tmp_path / "none")})


def test_parts_of_one_recording(source, tmp_path):
    long = np.repeat([0.1, 0.2, 0.3], RATE) + np.tile([0.01, -0.01], 3 * RATE // 2)
    soundfile.write(source / "long.wav", long, RATE)
    lines = [
        {"audio_filepath": "long.wav", "offset": float(i), "duration": 1.0, "text": "ab", "speaker": f"s{i}"}
        for i in range(3)
    ]
    write_manifest(source / "dev.jsonl", lines)
    corpus, _ = run(source, tmp_path / "out")
    assert [round(float(corpus.audio(u).mean()), 2) for u in corpus.dev] == [0.1, 0.2, 0.3]


def test_everything_wrong_is_told_at_once_with_file_line_and_reason(source, tmp_path):
    train, dev, test = (source / f"{split}.jsonl" for split in ("train", "dev", "test"))
    t = np.linspace(0, 1, RATE)

    def sound(name, samples, subtype="FLOAT"):
        soundfile.write(source / name, samples, RATE, subtype=subtype)
        return {"audio_filepath": name, "duration": 1.0}

    (source / "text.wav").write_text("this is no audio")
    (source / "zero.wav").write_bytes(b"")
    holed = np.sin(t).copy()
    holed[10:13] = np.nan
    edit(train, 0, audio_filepath="text.wav")
    edit(train, 1, audio_filepath="gone.wav")
    edit(train, 2, **sound("holed.wav", holed))
    edit(train, 3, **sound("loud.wav", 32000 * np.sin(9 * t)))
    edit(train, 4, **sound("silent.wav", 0 * t))
    edit(train, 5, **sound("nothing.wav", t[:0]))
    edit(train, 6, duration=9.0)
    edit(train, 7, offset=0.4)
    edit(train, 8, audio_filepath="zero.wav")
    edit(dev, 0, text="zäh")
    edit(train, 10, text="  ")
    edit(dev, 2, speaker="speaker0")
    shutil.copy(source / read_manifest(train)[9]["audio_filepath"], source / "copy.wav")
    edit(test, 3, audio_filepath="copy.wav", duration=read_manifest(train)[9]["duration"])
    with open(test, "a") as file:
        file.write("{oops\n")
    message = refused(source)
    expected = [
        (train, 1, "cannot be decoded"),
        (train, 2, "there is no file"),
        (train, 3, "not a finite number, at 0.001 s"),
        (train, 4, "samples reach 3"),
        (train, 5, "every sample is zero"),
        (train, 6, "no samples"),
        (train, 7, "duration: 9 s, but"),
        (train, 8, "s after the file does"),
        (train, 9, "cannot be decoded"),
        (dev, 1, "'h' (U+0068), 'z' (U+007A), 'ä' (U+00E4) not in any text of train"),
        (train, 11, "text: empty"),
        (dev, 3, "speaker 'speaker0' has 1 utterance(s) in dev"),
        (test, 4, "is the same audio as"),
        (test, 5, "not a JSON object"),
    ]
    lines = message.splitlines()
    for file, line, reason in expected:
        assert any(found.strip().startswith(f"{file}:{line}: ") and reason in found for found in lines), (
            line,
            reason,
            message,
        )
    assert lines[0].startswith(f"{len(expected)} problem(s)")
    assert len((source / "report.txt").read_text().splitlines()) == len(expected)


def test_a_cut_off_file_is_not_taken_for_whole(source):
    path = source / "train-000.wav"
    path.write_bytes(path.read_bytes()[:-6000])
    message = refused(source)
    assert f"{source / 'train.jsonl'}:1: {path}: cut short: its header counts " in message
    assert "1 × truncated audio" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(source):
    (source / "train-000.wav").chmod(0)
    assert f"{source / 'train.jsonl'}:1: " in refused(source)


def test_long_short_and_hurried_train_utterances_are_left_out_counted_and_told(source, tmp_path):
    lines = read_manifest(source / "train.jsonl")
    lines[3]["text"] = "ab " * 60
    write_manifest(source / "train.jsonl", lines)
    durations = sorted(line["duration"] for line in lines)
    limits = {"data.min_seconds": durations[1] + 1e-6, "data.max_seconds": durations[-1] - 1e-6}
    corpus, said = run(source, tmp_path / "out", **limits)
    short = sum(d < limits["data.min_seconds"] for d in durations)
    long = sum(d > limits["data.max_seconds"] for d in durations)
    dropped = corpus.summary["splits"]["train"]["dropped"]
    assert dropped["shorter than data.min_seconds"] == short > 0
    assert dropped["longer than data.max_seconds"] == long > 0
    assert dropped.get("too short for its text at the teacher's frame rate", 0) == 16 - short - long - len(corpus.train)
    assert any(f"{short} left out: shorter than" in line for line in said)
    assert len(corpus.dev) == len(corpus.test) == 4, "dev and test must stay whole"


def test_a_train_with_nothing_left_is_an_error(source):
    message = refused(source, **{"data.min_seconds": 15.0})
    assert "train has no utterances left (16 shorter than data.min_seconds)" in message


def test_hurried_test_utterances_stay_with_a_warning(source, tmp_path):
    edit(source / "test.jsonl", 1, text="ab " * 60)
    corpus, said = run(source, tmp_path / "out")
    assert len(corpus.test) == 4
    assert [
        line
        for line in said
        if line.startswith("warning: 1 utterance(s) of test are too short") and "test.jsonl:2" in line
    ]


def test_missing_speakers_are_a_warning_told_once(source, tmp_path):
    for split in ("train", "dev"):
        write_manifest(
            source / f"{split}.jsonl",
            [{**e, "speaker": None} for e in read_manifest(source / f"{split}.jsonl")],
        )
    corpus, said = run(source, tmp_path / "out")
    warnings = [line for line in said if "name no speaker" in line]
    assert len(warnings) == 1 and "20 utterance(s)" in warnings[0]
    assert corpus.train[0].speaker is None
    shutil.copy(source / "train-002.wav", source / "dev-001.wav")
    edit(source / "dev.jsonl", 1, duration=read_manifest(source / "train.jsonl")[2]["duration"])
    assert "is the same audio as" in refused(source)


def test_the_number_of_workers_does_not_show(source, tmp_path):
    digests = {run(source, tmp_path / f"out{n}", workers=n)[0].digest for n in (1, 3)}
    assert len(digests) == 1


def test_any_script_with_either_kind_of_tokens(source, tmp_path):
    for split in ("train", "dev", "test"):
        texts = ["打开灯", "关 灯", "नमस्ते", "打开 नमस्ते"] * 4
        lines = read_manifest(source / f"{split}.jsonl")
        write_manifest(source / f"{split}.jsonl", [{**line, "text": text} for line, text in zip(lines, texts)])
    for units in ("characters", "sentencepiece"):
        corpus, _ = run(source, tmp_path / units, **{"text.units": units, "text.vocab_size": 16})
        for utterance in corpus.test:
            assert corpus.tokenizer.decode(corpus.tokenizer.encode(utterance.text)) == utterance.text
    assert json.loads((corpus.folder / "tokens.json").read_text())["units"] == "sentencepiece"


def test_ctc_needs_a_blank_between_equal_tokens():
    tokenizer = CharacterTokenizer.train(["abc "])
    assert [ctc_frames(tokenizer, text) for text in ("abc", "aab", "aaa", "a")] == [3, 4, 5, 1]


def test_in_order_keeps_order_and_does_not_run_far_ahead():
    begun = []

    def function(x):
        begun.append(x)
        return x * x

    results = in_order(function, range(1000), workers=2)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(begun) < 40
    results.close()


def unlabel(source, *names, **changes):
    """A fourth manifest: audio of which nobody wrote down what is said."""
    collect(source, "unlabelled", names, **{"speaker": "a", **changes})
    lines = read_manifest(source / "unlabelled.jsonl")
    for line in lines:
        line.pop("text")
    write_manifest(source / "unlabelled.jsonl", lines)


def test_audio_without_transcripts_needs_none_and_changes_nothing_else(source, tmp_path):
    plain, _ = run(source, tmp_path / "plain")
    assert plain.unlabelled == [] and "unlabelled" not in plain.summary["splits"]
    speaker = plain.train[0].speaker
    unlabel(source, "x.wav", "y.wav", speaker=speaker)  # a speaker of train may be heard in both
    corpus, said = run(source, tmp_path / "out")
    assert [(u.text, u.speaker) for u in corpus.unlabelled] == [(None, speaker)] * 2
    assert [len(corpus.audio(u)) > 0 for u in corpus.unlabelled] == [True, True]
    assert files_but_sources(plain).items() <= files_but_sources(corpus).items()
    assert any(line.startswith("unlabelled: 2 utterances") for line in said)
    listed = json.loads((corpus.folder / "sources.json").read_text())["files"]["data.path"]
    assert {"unlabelled.jsonl", "x.wav", "y.wav"} <= set(listed)


def test_texts_of_unlabelled_audio_are_not_kept(source, tmp_path):
    collect(source, "unlabelled", ["x.wav"], text="ignored")
    corpus, _ = run(source, tmp_path / "out")
    assert corpus.unlabelled[0].text is None and "ignored" not in (corpus.folder / "unlabelled.jsonl").read_text()


def test_unlabelled_audio_of_train_is_left_out_and_of_test_refused(source, tmp_path):
    first = {split: read_manifest(source / f"{split}.jsonl")[0] for split in ("train", "test")}
    for split in first:
        shutil.copy(source / first[split]["audio_filepath"], source / f"copy-{split}.wav")
    unlabel(source, "x.wav")
    lines = read_manifest(source / "unlabelled.jsonl")
    copy = {"audio_filepath": "copy-train.wav", "duration": first["train"]["duration"]}
    write_manifest(source / "unlabelled.jsonl", [*lines, copy])
    corpus, _ = run(source, tmp_path / "out")
    assert corpus.summary["splits"]["unlabelled"]["dropped"] == {"the audio of a train utterance": 1}
    write_manifest(
        source / "unlabelled.jsonl", [copy | {"audio_filepath": "copy-test.wav", "duration": first["test"]["duration"]}]
    )
    assert "is the same audio as" in refused(source)


def test_speakers_of_test_are_not_heard_unlabelled_either(source):
    unlabel(source, "x.wav", speaker=read_manifest(source / "test.jsonl")[0]["speaker"])
    assert "every speaker belongs to one split" in refused(source)


def prepared_under(source, out, teachers, units="characters", **changes):
    """A corpus whose teacher writes these tokens of its checkpoint."""
    out.mkdir(parents=True)
    settings, said = corpus_settings(manifest_params(source)), []
    text = settings.text.model_copy(update={"units": units})
    settings = dataclasses.replace(settings, text=text, foreign=teachers, **changes)
    prepare(settings, out, None, workers=1, say=said.append, report=source / "report.txt")
    return PreparedCorpus.open(out), said


def test_a_teachers_own_tokens_are_kept_beside_those_of_the_corpus(source, tmp_path):
    teachers = VocabularyTokenizer(["<blank>", "<special:unk>", *"abcde", "ab", "▁"])
    both, said = prepared_under(source, tmp_path / "both", teachers)
    assert both.tokens == ["<blank>", "▁", *"abcde"] and both.spelling(teachers.tokens).tokens == teachers.tokens
    assert any(line.startswith("7 tokens (characters; the teacher's: 9), corpus ") for line in said)
    own, said = prepared_under(source, tmp_path / "own", teachers, units="checkpoint")
    assert own.tokens == teachers.tokens and not (tmp_path / "own" / "checkpoint").exists()
    assert any(line.startswith("9 tokens (vocabulary), corpus ") for line in said)


def test_an_utterance_must_be_long_enough_for_the_teachers_tokens_at_the_teachers_frames(source, tmp_path):
    """Most letters of 90 ms do not fit into frames of 120 ms, and pieces of two do."""
    letters = VocabularyTokenizer(["<blank>", "▁", *"abcde"])
    pieces = VocabularyTokenizer(["<blank>", "▁", *"abcde", "ab", "ba", "ca", "da", "be", "ac"])
    fewer, whole = (
        prepared_under(source, tmp_path / str(len(teachers.tokens)), teachers, frame_seconds=0.12)[0]
        for teachers in (letters, pieces)
    )
    assert 0 < len(fewer.train) < len(whole.train) == 16


def test_texts_that_the_teacher_cannot_write_are_named(source, tmp_path):
    fewer = VocabularyTokenizer(["<blank>", "▁", *"abcd"])
    with pytest.raises(UserError, match=r"'e' \(U\+0065\) not in the checkpoint's vocabulary"):
        prepared_under(source, tmp_path / "fewer", fewer)


def test_what_only_test_holds_is_named_where_the_corpus_tokens_are_learned_from_train(source, tmp_path):
    edit(source / "test.jsonl", 0, text="ab fab")
    teachers = VocabularyTokenizer(["<blank>", "▁", *"abcdef"])
    with pytest.raises(UserError, match=r"'f' \(U\+0066\) not in any text of train"):
        prepared_under(source, tmp_path / "letters", teachers)
    corpus, _ = prepared_under(source, tmp_path / "own", teachers, units="checkpoint")
    assert corpus.test[0].text == "ab fab"
