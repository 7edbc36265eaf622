"""Tables of any delimiter, with the headers that data sets use."""

import csv
import os
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diminuendo.importing.table import delimiter_of, read_table
from diminuendo.importing.utterance import Request, Utterance
from tests.factories.layouts import TEXTS, every, imported, refused, run_import, write_lines, write_sound


def clips(folder, count=6):
    for index in range(count):
        write_sound(folder / f"{index}.wav", index)
    return folder


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_odd_headers_and_any_delimiter(tmp_path, delimiter):
    clips(tmp_path / "clips")
    head = ["\ufeffPath", "Sentence", "Client-ID", "Sex", "up votes"]
    rows = [[f"{i}.wav", TEXTS[i], f"speaker {i}", "female", str(i)] for i in range(6)]
    write_lines(tmp_path / "table.csv", [delimiter.join(cells) for cells in [head, *rows]])
    lines = every(imported("csv", tmp_path / "table.csv", out=tmp_path / "out"))
    assert sorted(line["text"] for line in lines) == sorted(TEXTS)
    line = next(line for line in lines if line["speaker"] == "speaker 3")
    assert (line["gender"], line["up votes"], line["audio_filepath"]) == ("female", "3", "../clips/3.wav")


@pytest.mark.parametrize(
    "head",
    ["音频,文本,说话人,性别", "路径,句子,发音人,性别", "文件,转写,说话人ID,性别", "檔案,文字,說話人,性別"],
)
def test_chinese_headers(tmp_path, head):
    clips(tmp_path)
    rows = [f"{i}.wav,{TEXTS[i]},s{i},女" for i in range(6)]
    lines = every(imported("csv", write_lines(tmp_path / "t.csv", [head, *rows]), out=tmp_path / "out"))
    assert sorted((line["text"], line["speaker"], line["gender"]) for line in lines) == sorted(
        (TEXTS[i], f"s{i}", "女") for i in range(6)
    )
    assert {*lines[0]} == {"audio_filepath", "duration", "text", "speaker", "gender"}


def test_the_tables_of_common_voice_are_its_splits(tmp_path):
    clips(tmp_path / "cv/clips")
    head = "client_id\tpath\tsentence\tgender"
    for split, numbers in {"train": (0, 1), "dev": (2,), "test": (3,), "validated": (4,)}.items():
        rows = [f's{i}\t{i}.wav\t"quoted" {TEXTS[i]}\t' for i in numbers]
        write_lines(tmp_path / f"cv/{split}.tsv", [head, *rows])
    files = [tmp_path / f"cv/{split}.tsv" for split in ("train", "dev", "test", "validated")]
    splits = imported("csv", *files, out=tmp_path / "out")
    assert [len(own) for own in splits.values()] == [2, 1, 1]
    assert splits["dev"][0]["text"] == '"quoted" ab ba cab' and "gender" not in splits["dev"][0]
    _, out, _ = run_import("csv", *files, "--out", tmp_path / "out")
    assert "validated.tsv: left out, its name is none of train, dev and test" in out


def test_a_table_without_a_header_and_names_without_suffix(tmp_path):
    """The layout of LJ Speech, which has one speaker: no split can be without her."""
    clips(tmp_path / "wavs")
    write_lines(tmp_path / "metadata.csv", [f"{i}|{TEXTS[i].upper()}|{TEXTS[i]}" for i in range(6)])
    columns = ("--no-header", "--column", "audio=1", "--column", "text=3")
    splits = imported("csv", tmp_path / "metadata.csv", *columns, out=tmp_path / "out")
    assert len(every(splits)) == 6 and all(splits.values())
    assert splits["train"][0]["text"] == splits["train"][0]["2"].lower()
    _, out, _ = run_import("csv", tmp_path / "metadata.csv", *columns, "--out", tmp_path / "out")
    assert "the speakers are unknown, so it was divided by utterance: train, dev and test may share voices" in out


def test_wrong_keys_are_answered_with_those_that_were_found(tmp_path):
    table = write_lines(tmp_path / "table.csv", ["soundtrack,phrase", "a.wav,bed"])
    message = refused("csv", table)
    assert "none of its columns is known to hold the audio or the text; there are: 'soundtrack', 'phrase'" in message
    assert "--column audio=NAME --column text=NAME (and, if one names the speakers, --column speaker=NAME)" in message
    named = refused("csv", write_lines(tmp_path / "named.csv", ["soundtrack,phrase,speaker", "a.wav,bed,s"]))
    assert "--column text=NAME" in named and "--column speaker" not in named
    message = refused("csv", table, "--column", "audio=soundtrak", "--column", "text=phrase")
    assert "has no such column; there are: 'soundtrack', 'phrase'. Did you mean 'soundtrack'?" in message
    assert "expected one of audio, text, speaker" in refused("csv", table, "--column", "sound=soundtrack")
    assert "two columns are called 'a'" in refused("csv", write_lines(tmp_path / "t.csv", ["a,a", "b,c"]))


def test_a_root_is_looked_in_first_and_then_the_folder_of_the_table_if_it_is_in_the_root(tmp_path):
    clips(tmp_path / "clips")
    for name in ("0.wav", "tables/0.wav", "tables/1.wav"):
        write_sound(tmp_path / name, 5)
    rows = ["0.wav", "1.wav", "../clips/2.wav", "../../out.wav"]
    write_sound(tmp_path.parent / "out.wav", 5)
    lines = ["path,text,speaker", *(f"{name},{TEXTS[i]},s{i}" for i, name in enumerate(rows))]
    table = write_lines(tmp_path / "tables/t.csv", lines)
    found = every(imported("csv", table, "--root", tmp_path, out=tmp_path / "out"))
    assert sorted(line["audio_filepath"] for line in found) == ["../0.wav", "../clips/2.wav", "../tables/1.wav"]
    assert "../../out.wav" in (tmp_path / "out/left_out.txt").read_text()


def test_names_that_cannot_stand_in_a_manifest_have_one_reason_each(tmp_path):
    clips(tmp_path / "in side")
    write_sound(tmp_path / "secret.wav", 9)
    names = ["in side/0.wav", "../secret.wav", "https://example.com/a.wav", "gone.wav", "", "a\x07.wav", "in side"]
    with open(tmp_path / "in side/table.csv", "w", newline="") as file:
        rows = [(name.removeprefix("in side/"), TEXTS[i % 6], f"s{i}") for i, name in enumerate(names)]
        csv.writer(file).writerows([("path", "text", "speaker"), *rows, ("two\nlines.wav", "bed", "x")])
        csv.writer(file).writerows([(f"{i}.wav", TEXTS[i], f"s{i}") for i in (1, 2)])
    status, out, err = run_import("csv", tmp_path / "in side/table.csv", "--out", tmp_path / "out")
    assert status == 0, err
    for reason in (
        "1 × a path that leads out of the source's folder; give the folder around both as --root",
        "1 × an address in place of a file; nothing is fetched",
        "2 × no such file",
        "1 × no audio is named",
        "2 × a file name with a line break or another control character",
    ):
        assert reason in out, out
    assert (
        "../in side/1.wav"
        in (tmp_path / "out/train.jsonl").read_text()
        + (tmp_path / "out/dev.jsonl").read_text()
        + (tmp_path / "out/test.jsonl").read_text()
    )


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_with_accents_is_found_whichever_way_they_are_composed(tmp_path, forms):
    written, there = (unicodedata.normalize(form, "caf\u00e9/\u00e9") for form in forms)
    for index in range(3):
        write_sound(tmp_path / f"{there}{index}.wav", index)
    rows = [f"{written}{i}{'.wav' if i else ''},{TEXTS[i]},s{i}" for i in range(3)]  # one without its suffix
    table = write_lines(tmp_path / "table.csv", ["path,text,speaker", *rows])
    assert len(every(imported("csv", table, out=tmp_path / "out"))) == 3


def test_a_column_or_split_that_is_given_twice_is_refused(tmp_path):
    table = write_lines(tmp_path / "table.csv", ["path,a,b", "0.wav,bed,ace"])
    message = refused("csv", table, "--column", "text=a", "--column", "text=b")
    assert "--column text=b: 'text' was given before, as 'a'; give it once" in message
    assert "was given before" in refused("csv", table, "--split", "x=train", "--split", "x=dev")


def test_durations_that_are_none_are_told(tmp_path):
    clips(tmp_path)
    said = ["1.5", "-1", "nan", "3,19", "", "0"]
    rows = [f'{i}.wav,{TEXTS[i]},s{i},"{said[i]}"' for i in range(6)]
    table = write_lines(tmp_path / "table.csv", ["path,text,speaker,duration", *rows])
    status, out, err = run_import("csv", table, "--out", tmp_path / "out")
    assert status == 0, err
    told = "3 × a duration that is no number of seconds from 0; the length of the file is taken (first: "
    assert f"{told}{table}:3: '-1')" in out


def test_pieces_of_a_file(tmp_path):
    write_sound(tmp_path / "long.wav", 0, 4.0)
    rows = [f"long.wav,{i},{i + 0.5},bed,s{i}" for i in range(4)]
    write_lines(tmp_path / "table.csv", ["file,start,end,text,speaker", *rows])
    lines = every(imported("csv", tmp_path / "table.csv", out=tmp_path / "out"))
    assert sorted((line["offset"], line["duration"]) for line in lines) == [(i, 0.5) for i in range(4)]


def test_a_split_column(tmp_path):
    clips(tmp_path)
    splits = ["train", "train", "validation", "test", "other", "train"]
    rows = [f"{i}.wav,{TEXTS[i]},s{i},{split}" for i, split in enumerate(splits)]
    table = write_lines(tmp_path / "table.csv", ["path,text,speaker,split", *rows])
    _, out, _ = run_import("csv", table, "--out", tmp_path / "out")
    assert "1 × the split 'other' is none of train, dev and test; --split other=train takes it" in out
    found = imported("csv", table, "--split", "other=test", out=tmp_path / "out")
    assert [len(own) for own in found.values()] == [3, 1, 2]
    assert "expected train, dev, test or none" in refused("csv", table, "--split", "other=trian")


def test_a_table_that_is_not_utf8_is_named_with_its_line(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"path,text\na.wav,caf\xe9\n")
    message = refused("csv", tmp_path / "table.csv")
    assert "table.csv:2: the byte 0xe9 is not UTF-8 text; save the file as UTF-8, or name its encoding: " in message
    assert "--encoding gb18030" in message
    message = refused("csv", tmp_path / "table.csv", "--encoding", "ascii")
    assert "the byte 0xe9 is not ascii text; save the file as UTF-8, or give another --encoding" in message
    (tmp_path / "empty.csv").write_bytes(b"\n")
    assert "empty; expected a line with the names" in refused("csv", tmp_path / "empty.csv")
    assert f"{tmp_path}: a folder, expected a file; name the file in it" in refused("csv", tmp_path)


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("gbk", "gb18030"), ("gbk", "GBK"), ("utf-16", "utf-16"), ("utf-16-be", "utf-16-be"), ("utf-8-sig", "utf8")],
)
def test_a_table_of_another_encoding(tmp_path, encoding, named):
    clips(tmp_path)
    rows = ["音频,文本,说话人", *(f"{i}.wav,{'今天天气很好'[i]},s{i}" for i in range(6))]
    (tmp_path / "t.csv").write_bytes("\r\n".join(rows).encode(encoding))
    lines = every(imported("csv", tmp_path / "t.csv", "--encoding", named, out=tmp_path / "out"))
    assert sorted(line["text"] for line in lines) == sorted("今天天气很好")


@pytest.mark.parametrize("name", ["gbx", "base64", "rot13", "undefined", "é", "utf 99"])
def test_an_encoding_that_is_none_of_text_is_refused(tmp_path, name):
    table = write_lines(tmp_path / "t.csv", ["path,text", "0.wav,bed"])
    message = refused("csv", table, "--encoding", name, "--out", tmp_path / "out")
    assert f"--encoding {name}: no encoding of text that Python knows; expected a name such as gb18030" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({2: '1.wav,"bed,s1'}, "table.csv:3: not a table with the delimiter ',' (unexpected end of data)"),
        ({2: '1.wav,"bed,s1', 4: '3.wav,bed",s3'}, "table.csv:3: a quote opens here and closes on line 5"),
        ({2: '1.wav,"bed,s1', 3: '2.wav,bed",s2'}, "table.csv:3: a quote opens here and closes on line 4"),
        ({2: '1.wav,"bed,s1', 4: '3.wav,"bed",s3'}, "table.csv:3: not a table"),
        ({2: '1.wav,"bed" ace,s1'}, "table.csv:3: not a table"),
        ({0: 'path,"text,speaker', 1: '0.wav,bed",s0'}, "table.csv:1: a quote opens here and closes on line 2"),
        ({0: 'path,"text', 1: 'path,text",speaker'}, "table.csv:1: the name of a column goes over several lines"),
    ],
)
def test_a_stray_quote_swallows_no_rows(tmp_path, change, words):
    clips(tmp_path)
    rows = ["path,text,speaker", *(f"{i}.wav,{TEXTS[i]},s{i}" for i in range(6))]
    table = write_lines(tmp_path / "table.csv", [change.get(i, row) for i, row in enumerate(rows)])
    message = refused("csv", table, "--out", tmp_path / "out")
    assert words in message and len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("delimiter", "cause"),
    [
        (",", ": a text with ',' in it needs double quotes around it, or divide the columns by tabs"),
        (";", ": a text with ';' in it needs double quotes around it, or divide the columns by tabs"),
        ("\t", ": a text cannot have a tab in it, which divides the columns"),
        ("|", ": a text cannot have '|' in it, which divides the columns"),
    ],
)
def test_the_cause_of_rows_with_too_many_cells_is_named(tmp_path, delimiter, cause):
    clips(tmp_path)
    rows = [["path", "text", "speaker"], *([f"{i}.wav", TEXTS[i], f"s{i}"] for i in range(6))]
    rows[2].insert(1, "well")
    del rows[4][1:]
    table = write_lines(tmp_path / "t.csv", [delimiter.join(cells) for cells in rows])
    status, out, err = run_import("csv", table, "--out", tmp_path / "out")
    assert status == 0, err
    assert f"1 × a line of more than 3 columns{cause} ({table}:3: 4 columns)" in out
    assert f"1 × a line of fewer than 3 columns ({table}:5: 1 columns)" in out


def test_a_cell_over_two_lines_is_one_text(tmp_path):
    clips(tmp_path)
    rows = [f'{i}.wav,"{TEXTS[i]}\nbed, ""ace""",s{i}' for i in range(6)]
    lines = every(imported("csv", write_lines(tmp_path / "t.csv", ["path,text,speaker", *rows]), out=tmp_path / "out"))
    assert sorted(line["text"] for line in lines) == sorted(f'{text} bed, "ace"' for text in TEXTS)


def test_tables_without_lines_say_what_is_there_and_why_nothing_is_left(tmp_path):
    """The notes of the reader are the answer where every table was left out."""
    for name in ("table", "more"):
        (tmp_path / f"{name}.csv").write_text("path,text\n")
    message = refused("csv", tmp_path / "table.csv")
    assert "table.csv: no utterances in it; expected a line for each of them" in message and "'path'" in message
    message = refused("csv", tmp_path / "table.csv", tmp_path / "more.csv")
    assert "no utterances in it" in message and "--split table=train takes it" in message


_CELL = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\0\x1c\x1d\x1e\x85\x0b\x0c\u2028\u2029")
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(_CELL, min_size=1, max_size=4), delimiter=st.sampled_from(",;"))
def test_what_a_csv_writer_writes_is_read_again(tmp_path, texts, delimiter):
    (tmp_path / "a.wav").write_bytes(b"any file")
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([("path", "sentence", "speaker"), *(("a.wav", text, "s") for text in texts)])
    found = list(read_table(tmp_path / "table.csv", Request()))
    assert all(isinstance(one, Utterance) for one in found)
    assert [one.text for one in found] == [text if text.strip() else "" for text in texts]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_no_bytes_end_in_a_traceback(tmp_path, content):
    (tmp_path / "table.csv").write_bytes(content)
    status, _, err = run_import("csv", tmp_path / "table.csv", "--out", tmp_path / "out")
    assert status != 0 and err.startswith("error: ")


def test_the_delimiter_is_the_one_that_makes_most_cells():
    assert (
        delimiter_of("a,b;c;d") == ";" and delimiter_of("path\ttext, all of it") == "\t" and delimiter_of("a") == "\t"
    )


def test_a_table_without_splits_takes_no_choice_of_one(tmp_path):
    clips(tmp_path)
    table = write_lines(tmp_path / "table.csv", ["path,text", *(f"{i}.wav,{TEXTS[i]}" for i in range(6))])
    assert "--split foo=train: the source has no split" in refused(
        "csv", table, "--split", "foo=train", "--out", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


def test_a_pipe_or_a_device_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    os.symlink("/dev/zero", tmp_path / "zero.csv")
    for name in ("pipe.csv", "zero.csv"):
        assert f"{name}: a pipe or a device, expected a file" in refused("csv", tmp_path / name)
