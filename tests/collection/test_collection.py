import json
import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diminuendo.collection import plain_files
from diminuendo.collection.batches import arrived, refuse, unseen
from diminuendo.collection.collect import collect
from diminuendo.collection.collected import Collection
from diminuendo.data.prepared import SPLITS, PreparedCorpus
from tests.factories.audio import dummy_corpus, manifest_params, prepare_corpus, read_manifest, write_manifest
from tests.factories.incoming import make_batch


def silent(_line):
    pass


class Place:
    """A source, its prepared corpus, and the folders of collecting."""

    def __init__(self, folder, **changes):
        self.incoming, self.quarantine = folder / "incoming", folder / "quarantine"
        self.collected, self.prepared = folder / "collected", folder / "prepared"
        source = dummy_corpus(folder / "source")
        self.params = manifest_params(source, **{"data.collected": str(self.collected), **changes})
        self.collected.mkdir()
        self.prepared.mkdir()
        prepare_corpus(self.params, self.prepared, workers=1, say=silent, report=folder / "problems.txt")

    def collect(self):
        batches = unseen(arrived(self.incoming), Collection(self.collected).batches, self.quarantine)
        return collect(batches, self.params, self.collected, self.quarantine, self.prepared, silent)

    def lines(self, split):
        path = self.collected / f"{split}.jsonl"
        return read_manifest(path) if path.exists() else []

    def everything(self):
        return {
            path.relative_to(self.collected): path.read_bytes()
            for path in sorted(self.collected.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def edit(batch, change):
    lines = read_manifest(batch / "manifest.jsonl")
    change(lines)
    write_manifest(batch / "manifest.jsonl", lines)


def problems_of(place, batch):
    path = place.quarantine / batch / "records" / "problems.jsonl"
    return {problem["line"]: problem for problem in read_manifest(path)}


def test_good_records_are_added_and_prepare_takes_them(place, tmp_path):
    make_batch(place.incoming / "week1", 12, ("new-1", "new-2", "new-3"))
    outcome = place.collect()
    lines = {split: place.lines(split) for split in SPLITS}
    assert sum(map(len, lines.values())) == 12 and not outcome.set_aside and not place.quarantine.exists()
    assert outcome.added[0]["records"] == {split: len(found) for split, found in lines.items()}
    assert {line["batch"] for found in lines.values() for line in found} == {"week1"}

    again = tmp_path / "again"
    again.mkdir()
    prepare_corpus(place.params, again, workers=1, say=silent, report=tmp_path / "problems.txt")
    before, after = PreparedCorpus.open(place.prepared), PreparedCorpus.open(again)
    for split in SPLITS:
        assert len(after.split(split)) == len(before.split(split)) + len(lines[split])
    assert {u.group("batch") for u in after.train} == {None, "week1"}


def test_the_same_batches_give_the_same_bytes(place):
    make_batch(place.incoming / "week1")
    make_batch(place.incoming / "week2", seed=2)
    place.collect()
    first = place.everything()
    shutil.rmtree(place.collected)
    place.collected.mkdir()
    place.collect()
    assert place.everything() == first


def test_a_batch_is_collected_once_and_another_of_its_name_too(place):
    make_batch(place.incoming / "week1", 4)
    place.collect()
    first = place.everything()
    assert not place.collect().added and place.everything() == first
    shutil.rmtree(place.incoming / "week1")
    make_batch(place.incoming / "week1", 4, seed=5)
    assert sum(place.collect().added[0]["records"].values()) == 4
    ids = [line["id"] for split in SPLITS for line in place.lines(split)]
    assert len(ids) == len(set(ids)) == 8


def test_every_kind_of_bad_record_is_set_apart_with_its_reason(place):
    batch = make_batch(place.incoming / "week1", 20)
    source = place.params.data.path

    def damage(lines):
        lines[0]["text"] = ""
        lines[1]["duration"] = "long"
        lines[2]["audio_filepath"] = "clips/none.wav"
        lines[3]["duration"] += 1.0
        lines[4]["audio_filepath"] = f"{source}/train-000.wav"
        lines[6]["audio_filepath"] = lines[7]["audio_filepath"]
        lines[6]["duration"] = lines[7]["duration"]

    edit(batch, damage)
    (batch / "clips/005.wav").write_bytes(b"RIFF, but no more")
    shutil.copy(f"{source}/test-001.wav", batch / "clips/008.wav")
    edit(batch, lambda lines: lines[8].update(duration=read_manifest(Path(source) / "test.jsonl")[1]["duration"]))
    with open(batch / "manifest.jsonl", "ab") as file:
        file.write(b'{"audio_filepath": \n')

    outcome = place.collect()
    found = problems_of(place, "week1")
    assert {line: problem["kind"] for line, problem in found.items()} == {
        1: "empty text",
        2: "wrong type or value",
        3: "missing file",
        4: "wrong duration",
        5: "outside the batch",
        6: "not audio",
        8: "known already",
        9: "known already",
        21: "bad JSON",
    }
    assert "line 7 of week1" in found[8]["message"] and "test-001 in test" in found[9]["message"]
    assert sum(outcome.added[0]["records"].values()) == 12

    records = place.quarantine / "week1" / "records"
    raw = (batch / "manifest.jsonl").read_bytes().split(b"\n")
    kept = (records / "manifest.jsonl").read_bytes().split(b"\n")[:-1]
    assert kept == [raw[line - 1] for line in sorted(found)]
    assert (records / "clips/005.wav").read_bytes() == b"RIFF, but no more"
    assert not (records / "clips/010.wav").exists()
    assert "9 of 21 records cannot be used (43 %)" in (records / "report.md").read_text()
    assert found[21]["line_here"] == 9


def test_corrected_records_can_be_given_again(place):
    batch = make_batch(place.incoming / "week1", 6)
    edit(batch, lambda lines: lines[2].update(text=""))
    place.collect()
    shutil.move(place.quarantine / "week1" / "records", place.incoming / "week1-corrected")
    edit(place.incoming / "week1-corrected", lambda lines: lines[0].update(text="ab ba"))
    assert sum(place.collect().added[0]["records"].values()) == 1


def test_a_batch_with_too_much_wrong_is_set_aside_whole(tmp_path):
    place = Place(tmp_path, **{"retrain.quarantine_limit": 0.2})
    batch = make_batch(place.incoming / "week1", 10, ("stranger",))
    shutil.copytree(batch, place.incoming / "week2")
    edit(batch, lambda lines: [line.update(text="") for line in lines[:3]])
    (place.incoming / "empty").mkdir()
    (place.incoming / "empty/manifest.jsonl").write_text("\n")
    outcome = place.collect()
    assert [aside["name"] for aside in outcome.set_aside] == ["empty", "week1"] and not batch.exists()
    # Nothing of it was used, so that its recordings are not known when another batch has them.
    assert [facts["name"] for facts in outcome.added] == ["week2"]
    assert sum(outcome.added[0]["records"].values()) == 10
    refused = place.quarantine / "week1" / "refused"
    assert "3 of 10" in json.loads((refused / "decision.json").read_text())["reason"]
    assert len(list(refused.glob("clips/*.wav"))) == 10


def test_speakers_stay_where_they_are_and_new_ones_are_drawn(tmp_path):
    place = Place(tmp_path, **{"retrain.dev_fraction": 0.2, "retrain.test_fraction": 0.3})
    new = tuple(f"new-{i}" for i in range(60))
    make_batch(place.incoming / "week1", 120, (*new, "speaker1", "speaker4", "speaker5"), words=1)
    nameless = make_batch(place.incoming / "week2", 5, words=2, seed=3)
    edit(nameless, lambda lines: [line.pop("speaker") for line in lines])
    place.collect()
    where = {split: {line.get("speaker") for line in place.lines(split)} for split in SPLITS}
    assert "speaker1" in where["train"] and "speaker4" in where["dev"] and "speaker5" in where["test"]
    assert None in where["train"] and None not in where["dev"] | where["test"]
    assert not where["train"] & where["test"] and not where["train"] & where["dev"] and not where["dev"] & where["test"]
    counts = {split: len(found & set(new)) for split, found in where.items()}
    assert sum(counts.values()) == 60 and 6 <= counts["dev"] <= 18 and 10 <= counts["test"] <= 26


def test_a_new_speaker_is_drawn_alike_every_time(tmp_path):
    """The second batch of a speaker goes where the first went, though the corpus was not prepared in between."""
    place = Place(tmp_path, **{"retrain.dev_fraction": 0.3, "retrain.test_fraction": 0.3})
    for week in (1, 2):
        make_batch(place.incoming / f"week{week}", 12, tuple(f"new-{i}" for i in range(6)), seed=week)
        place.collect()
    where = [{line["speaker"] for line in place.lines(split)} for split in SPLITS]
    assert len(set.union(*where)) == sum(map(len, where)) == 6


def test_test_holds_no_character_that_train_has_not(tmp_path):
    place = Place(tmp_path, **{"retrain.test_fraction": 1.0, "retrain.dev_fraction": 0.0})
    batch = make_batch(place.incoming / "week1", 4)
    edit(batch, lambda lines: lines[3].update(text="ab xyz"))
    place.collect()
    assert problems_of(place, "week1")[4]["kind"] == "outside the vocabulary"
    assert len(place.lines("test")) == 3


def test_limits_of_training_are_told_of(place):
    batch = make_batch(place.incoming / "week1", 4, ("speaker1",))
    edit(batch, lambda lines: lines[0].update(offset=0.0, duration=0.05))
    place.collect()
    assert problems_of(place, "week1")[1]["kind"] == "beyond the limits"


def test_parts_of_one_file_are_stored_once(place):
    batch = make_batch(place.incoming / "week1", 1, ("speaker1",), words=4)

    def cut(lines):
        whole = lines.pop()
        for start in (0.0, 0.5):
            lines.append({**whole, "offset": start, "duration": 0.4, "text": "ab"})

    edit(batch, cut)
    place.collect()
    lines = place.lines("train")
    assert [line["offset"] for line in lines] == [0.0, 0.5]
    assert len({line["audio_filepath"] for line in lines}) == 1 == len(list(place.collected.rglob("*.wav")))


def test_a_batch_that_is_still_copied_has_not_arrived(place):
    make_batch(place.incoming / ".week1", 2)
    (place.incoming / "week2").mkdir()
    assert arrived(place.incoming) == [] == arrived(place.incoming / "nowhere")


def kept_reasons(place):
    return {
        path.parent.parent.name: json.loads(path.read_text())["reason"]
        for path in place.quarantine.glob("*/refused*/decision.json")
    }


def test_a_batch_that_cannot_be_read_does_not_keep_the_others_from_being_used(place, tmp_path):
    elsewhere = make_batch(tmp_path / "elsewhere", 2)
    place.incoming.mkdir()
    (tmp_path / "secret.jsonl").write_text("{}\n")
    for name in ("a|b", "\x1b[31mred", os.fsdecode(b"caf\xe9")):
        make_batch(tmp_path / "made", 1).rename(place.incoming / name)
    (place.incoming / "link").symlink_to(elsewhere)
    for name, target in {"zero": "/dev/zero", "outside": tmp_path / "secret.jsonl", "loop": "manifest.jsonl"}.items():
        (place.incoming / name).mkdir()
        (place.incoming / name / "manifest.jsonl").symlink_to(target)
    (place.incoming / "pipe").mkdir()
    os.mkfifo(place.incoming / "pipe" / "manifest.jsonl")
    (place.incoming / "huge").mkdir()
    with open(place.incoming / "huge" / "manifest.jsonl", "wb") as file:
        file.truncate(10**10)  # bytes, none of which takes room on the disk
    make_batch(place.incoming / "week1", 6)
    outcome = place.collect()
    assert [facts["name"] for facts in outcome.added] == ["week1"]
    aside = {facts["name"]: facts["reason"] for facts in outcome.set_aside}
    assert "name a batch with letters" in aside["a|b"] and "name a batch" in aside["\\u001b[31mred"]
    assert "name a batch" in aside["caf\\udce9"]
    assert "a link, to" in aside["link"] and "a device" not in aside["zero"] and "a link" in aside["zero"]
    assert all("a link" in aside[name] for name in ("outside", "loop")) and "a pipe" in aside["pipe"]
    assert "10000.00 MB, more than 256.00 MB" in aside["huge"]
    assert len(kept_reasons(place)) == len(aside)
    assert (tmp_path / "secret.jsonl").exists() and len(list(elsewhere.rglob("*.wav"))) == 2
    found = [path.stat(follow_symlinks=False) for path in place.quarantine.rglob("*")]
    assert not [one for one in found if stat.S_ISFIFO(one.st_mode) or one.st_size > 10**6]
    (left,) = (path for path in place.incoming.iterdir() if path.name.startswith("."))  # the one too large to move
    assert left.name.startswith(".huge.too-large.")
    assert [batch.name for batch in arrived(place.incoming)] == ["week1"]


def test_links_pipes_and_devices_in_a_batch_are_not_followed(place, tmp_path):
    batch = make_batch(place.incoming / "week1", 12)
    outside = make_batch(tmp_path / "other", 1) / "clips/000.wav"
    clips = batch / "clips"
    for name in ("000.wav", "001.wav", "002.wav", "003.wav", "004.wav"):
        (clips / name).unlink()
    (clips / "000.wav").symlink_to(outside)
    (clips / "001.wav").symlink_to("/dev/zero")
    (clips / "002.wav").symlink_to("002.wav")
    os.mkfifo(clips / "003.wav")
    (clips / "004.wav").symlink_to("005.wav")
    (batch / "deep").symlink_to(".")  # a circle of folders
    place.params = place.params.model_copy(
        update={"retrain": place.params.retrain.model_copy(update={"quarantine_limit": 0.9})}
    )
    outcome = place.collect()
    assert sum(outcome.added[0]["records"].values()) == 7
    told = problems_of(place, "week1")
    assert "a link" in told[1]["message"] and "a link" in told[5]["message"] and set(told) == {1, 2, 3, 4, 5}
    assert not [path for path in place.quarantine.rglob("*") if path.is_symlink() or path.is_fifo()]
    # And as a whole, when the gate refuses it.
    target = refuse(arrived(place.incoming)[0], place.quarantine, {"reason": "worse"}, "worse\n")
    assert not batch.exists() and outside.exists()
    assert (target / "clips/000.wav").is_symlink() and (target / "deep").is_symlink()
    assert json.loads((target / "decision.json").read_text())["left_out"] == ["clips/003.wav: a pipe"]
    assert "clips/003.wav: a pipe" in (target / "decision.md").read_text()


def test_a_path_that_leaves_the_batch_and_comes_back_is_outside(place, tmp_path):
    batch = make_batch(place.incoming / "week1", 8)
    edit(batch, lambda lines: lines[0].update(audio_filepath="../week1/clips/000.wav"))
    edit(batch, lambda lines: lines[1].update(audio_filepath=str(batch / "clips/001.wav")))
    place.collect()
    assert problems_of(place, "week1")[1]["kind"] == "outside the batch"


def test_a_recording_that_would_fill_the_memory_is_not_decoded(place, monkeypatch):
    batch = make_batch(place.incoming / "week1", 8)
    soundfile.write(batch / "clips/000.flac", np.zeros(200_000, np.int16), 8000)
    edit(batch, lambda lines: lines[0].update(audio_filepath="clips/000.flac", duration=25.0))
    monkeypatch.setattr(plain_files, "FILE_BYTES", 400_000)
    place.collect()
    assert "once decoded" in problems_of(place, "week1")[1]["message"]


def test_a_batch_for_which_there_is_no_room_stays_and_the_others_go_on(place, monkeypatch):
    make_batch(place.incoming / "a|b", 1)
    make_batch(place.incoming / "week1", 6)
    monkeypatch.setattr(plain_files.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    outcome = place.collect()
    assert [facts["name"] for facts in outcome.added] == ["week1"]
    assert "make room" in outcome.set_aside[0]["reason"] and (place.incoming / "a|b" / "manifest.jsonl").exists()
    assert not list((place.quarantine).rglob("*.tmp"))


def test_a_refused_batch_comes_back_only_when_it_is_taken_out_of_quarantine(place, tmp_path):
    batch = make_batch(place.incoming / "week1", 3)
    shutil.copytree(batch, tmp_path / "remote")
    target = refuse(arrived(place.incoming)[0], place.quarantine, {"reason": "worse"}, "worse\n")
    assert not batch.exists() and (target / "decision.md").read_text() == "worse\n"
    shutil.copytree(tmp_path / "remote", batch)  # as an update of an import would do
    assert unseen(arrived(place.incoming), {}, place.quarantine) == []
    refuse(arrived(place.incoming)[0], place.quarantine, {"reason": "worse"}, "worse\n")
    assert not batch.exists() and len(list((place.quarantine / "week1").iterdir())) == 1
    shutil.move(target, batch)
    assert [b.name for b in unseen(arrived(place.incoming), {}, place.quarantine)] == ["week1"]


def test_a_batch_is_not_removed_where_only_an_empty_folder_says_that_it_was_kept(place):
    """Its recordings were moved back with `mv refused/* …`, twice, and refused again each time."""
    batch = make_batch(place.incoming / "week1", 3)
    kept = []
    for _ in range(3):
        kept.append(refuse(arrived(place.incoming)[0], place.quarantine, {"reason": "worse"}, "worse\n"))
        assert not batch.exists() and len(list(kept[-1].glob("clips/*.wav"))) == 3
        assert json.loads((kept[-1] / "decision.json").read_text()) == {"reason": "worse"}
        batch.mkdir()
        for path in kept[-1].iterdir():
            if not path.name.startswith("decision."):
                shutil.move(path, batch)
        assert [b.name for b in unseen(arrived(place.incoming), {}, place.quarantine)] == ["week1"]
    assert len(set(kept)) == 3 and kept[1].name == f"refused-{arrived(place.incoming)[0].digest[:8]}"
