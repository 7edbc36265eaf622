"""What is said of punctuation in the texts of train."""

import pytest

from diminuendo.importing.punctuation import told_punctuation
from tests.factories.layouts import run_import, write_lines, write_sound


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hello, world. really? yes!", "!,.?"),
        ("今天，天气很好。", "。，"),
        ("she said - well", "-"),
        ("“yes”", "“”"),
        ("a: b", ":"),
        ("¿qué?", "?¿"),
    ],
)
def test_punctuation_is_named_with_what_it_does_and_what_to_do(text, found):
    told = told_punctuation(["nothing here", text], unknown=False)
    assert told.startswith(f"punctuation of train: {found}; these become tokens and count in the error rates: ")
    assert "set evaluate.normalizer: basic" in told and "take them out of the texts and import again" in told


@pytest.mark.parametrize(
    "text", ["it's five o'clock", "the boys' well-known l’été", "ten % of r&d", "col·lecció", "plain", ""]
)
def test_what_is_part_of_a_word_is_none(text):
    assert told_punctuation([text], unknown=False) is None


@pytest.mark.parametrize(("text", "unknown"), [("नमस्ते।", False), ("yes.", True)])
def test_a_normaliser_that_takes_more_than_punctuation_away_is_not_proposed(text, unknown):
    told = told_punctuation([text], unknown)
    assert "take them out of the texts" in told and "normalizer" not in told


def test_an_import_says_it_of_train(tmp_path):
    def told(texts):
        rows = []
        for index, text in enumerate(texts):
            write_sound(tmp_path / f"{index}.wav", index)
            rows.append(f"{index}.wav\t{text}\ts{index}\t{('train', 'train', 'dev', 'test')[index]}")
        table = write_lines(tmp_path / "t.tsv", ["path\ttext\tspeaker\tsplit", *rows])
        status, out, err = run_import("csv", table, "--out", tmp_path / "out")
        assert status == 0, err
        return [line for line in out.splitlines() if line.startswith("punctuation of train: ")]

    (line,) = told(["bed, ace", "dad", "bed", "ace"])
    assert ": ,; " in line and "normalizer: basic" in line
    assert told(["bed ace", "dad", "bed, ace", "ace."]) == []
    (line,) = told(["bed, ace", "dad", "bed", "ace."])  # the full stop of test is written as �
    assert "normalizer" not in line
