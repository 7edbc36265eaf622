"""What is said of a parameter file that is no text, or no YAML."""

import pytest
import yaml

from diminuendo.core.errors import UserError
from diminuendo.parameters import load_params, parse_params
from tests.factories.project import ROOT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed: 1\ndata: {path: caf\xe9}\n", r"line 2: the byte 0xe9 is not UTF-8 text; save the file as UTF-8"),
        (b"seed: 1\ndata: {path: [}\n", r"not valid YAML: (.|\n)*in \"params.yaml\", line 2, column 15"),
        (b"seed: 1\nseed: 2\n", r"not valid YAML: the key 'seed' is there twice\n +in \"params.yaml\", line 2"),
        (b"seed: \x01\n", r"not valid YAML: (.|\n)*in \"params.yaml\""),
    ],
)
def test_a_file_that_cannot_be_read_is_one_message_that_names_the_place(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=f"^params.yaml: {words}") as raised:
        load_params()
    assert "unicode string" not in str(raised.value)


def test_a_section_of_members_may_be_absent_and_is_then_empty():
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    del raw["quantize"]
    assert parse_params(raw).quantize == {} and parse_params(raw) == parse_params(raw | {"quantize": {}})
    with pytest.raises(UserError, match=r"quantize: input should be .*, found None \(for no member write \{\}\)"):
        parse_params(raw | {"quantize": None})
