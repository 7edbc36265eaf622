"""What is said of a parameter file that is no text, or no YAML."""

import pytest
import yaml

from diminuendo.core.errors import UserError
from diminuendo.parameters import load_params, parse_params
from diminuendo.parameters.yaml_text import read_yaml
from tests.factories.minute import minute_params
from tests.factories.project import ROOT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed: 1\ndata: {path: caf\xe9}\n", r"line 2: the byte 0xe9 is not UTF-8 text; save the file as UTF-8"),
        (b"seed: 1\ndata: {path: [}\n", r"not valid YAML: line 2, column 15: "),
        (b"seed: 1\nseed: 2\n", r"not valid YAML: line 2, column 1: the key 'seed' is there twice$"),
        (b"seed: \x01\n", r"not valid YAML: .*control characters are not allowed"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_message_that_names_the_place(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=f"^params.yaml: {words}") as raised:
        load_params()
    assert "unicode string" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"# to be written\n"], ids=["empty", "comments"])
def test_an_empty_file_is_said_to_be_one(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"mine.yaml: expected sections .*, found nothing; begin with a copy of params"):
        load_params(path)


def test_a_folder_is_no_parameter_file(tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}: a folder, expected a parameter file such as params.yaml"):
        load_params(tmp_path)


def test_a_section_of_members_may_be_absent_and_is_then_empty():
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    del raw["quantize"]
    assert parse_params(raw).quantize == {} and parse_params(raw) == parse_params(raw | {"quantize": {}})
    with pytest.raises(UserError, match=r"quantize: input should be .*, found None \(for no member write \{\}\)"):
        parse_params(raw | {"quantize": None})


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ({"kind": "parent", "layers": 1, "frontend": {}}, "frontend: unknown key; allowed: kind, layers, width, heads"),
        ({"kind": "parent", "layers": 0}, "layers: input should be greater than 0, found 0"),
        ({"kind": "wav2vec2"}, "kind: input should be 'conformer', found 'wav2vec2'"),
        ({"kernel": 3}, "kernel: unknown key"),
    ],
)
def test_keys_of_a_section_of_several_kinds_are_named_as_they_are_written(architecture, expected):
    raw = minute_params()
    raw["distill"] = {"copy": {"from": "teacher", "architecture": architecture, "losses": {"ctc": 1.0}}}
    with pytest.raises(UserError, match=rf"  distill\.copy\.architecture\.{expected}"):
        parse_params(raw)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("languages", "en", r"languages: expected a list, such as \[en\], found 'en'"),
        ("languages", {"en": 1}, r"languages: expected a list, found \{'en': 1\}"),
        ("most", -5, r"most: input should be greater than 0, found -5"),
        ("characters", "greek", r"characters: input should be 'any', 'latin' or 'ascii', found 'greek'"),
    ],
)
def test_a_wrong_value_is_told_in_the_words_of_the_file(key, value, expected):
    raw = minute_params() | {
        "compress_architecture": {"small": {"from": "teacher", "vocabulary": {"characters": "latin", key: value}}}
    }
    with pytest.raises(UserError, match=rf"\n  compress_architecture\.small\.vocabulary\.{expected}$"):
        parse_params(raw)


@pytest.mark.parametrize(
    "value", ["010", "-07", "0_1", "0o17", "0b11", "12:30", "1:00:00.5", "yes", "No", "ON", "off"], ids=str
)
def test_what_two_versions_of_yaml_read_differently_is_refused_and_taken_in_quotes(tmp_path, value):
    path = tmp_path / "params.yaml"
    for text in (f"a: 1\nb: {value}\n", f"a: 1\nb: [x, {value}]\n", f"a: 1\n{value}: 2\n"):
        path.write_text(text)
        with pytest.raises(UserError, match=f"params.yaml: line 2: {value} means one thing in YAML 1.1 and another"):
            read_yaml(path)
    path.write_text(f'a: \'{value}\'\nb: {{"c": "{value}"}}\n')
    assert read_yaml(path) == {"a": value, "b": {"c": value}}


def test_what_both_read_alike_is_taken(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("[0, -0, 0.5, 007.5, 10, 0x1f, 12:99, true, None, http://host:80, 'x', nobody, 1e-3, null]\n")
    read_yaml(path)


@pytest.mark.parametrize("value", [".nan", "-.inf", "2001-01-01"])
def test_a_value_that_no_parameter_can_be_is_told_with_its_key(tmp_path, value):
    (tmp_path / "params.yaml").write_text(f"data:\n  deep: {{list: [1, {value}]}}\n")
    with pytest.raises(UserError, match=r"params.yaml: data.deep.list: .*expected"):
        load_params(tmp_path / "params.yaml")


def test_names_from_which_no_file_can_be_called_are_refused():
    raw = minute_params()
    raw["distill"]["x" * 101] = next(iter(raw["distill"].values()))
    with pytest.raises(UserError, match=r"member name 'x{30}'…: 101 characters, at most 100"):
        parse_params(raw)
    raw = minute_params()
    raw["ship"]["model"] = "x" * 101
    with pytest.raises(UserError, match=r"ship.model: 101 characters, at most 100"):
        parse_params(raw)
