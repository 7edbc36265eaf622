"""The page's content, its limits, and that no text in it is more than a text."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from diminuendo.core.errors import UserError
from diminuendo.metrics.error_rates import normalise
from diminuendo.report.errors.page import json_in_script
from tests.factories.errors_page import evaluated

SAID = (
    {"text": "turn on the light", "accent": "coast"},
    {"text": "stop", "accent": "hills"},
    {"text": "call anna", "accent": "coast"},
)
HEARD = {
    "teacher": ("turn on the light", "stop", "call hannah"),
    "student": ("turn the lights", "stop it", "call hannah"),
}
HOSTILE = """</script><img src=x onerror="document.title='lost'">'"&amp;<!--\u2028\u2029]]>"""


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.elements, self.scripts, self.policy, self.outside = [], {}, "", []
        self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.elements.append(tag)
        self.outside += [own[key] for key in ("src", "href") if key in own]
        if own.get("http-equiv") == "Content-Security-Policy":
            self.policy = own["content"]
        if tag in ("script", "style"):
            self._script = own.get("id", tag)
            self.scripts[self._script] = ""

    def handle_endtag(self, tag):
        self._script = None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] += data

    @property
    def content(self):
        return json.loads(self.scripts["data"])

    @property
    def audio(self):
        return {int(name[6:]): text for name, text in self.scripts.items() if name.startswith("audio-")}


def page_of(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    return evaluated(tmp_path_factory.mktemp("family"), SAID, HEARD)


def test_content(family, tmp_path):
    page = page_of(family.write(tmp_path))
    assert page.content == {
        "unit": "words",
        "rate": "WER",
        "normalizer": "",
        "members": [
            {"name": "teacher", "chain": "teacher → teacher", "size": "1.00 MB"},
            {"name": "student", "chain": "teacher → student", "size": "500.0 kB"},
        ],
        "smallest": 1,
        "filters": [
            {"key": "accent", "values": ["coast", "hills"]},
            {"key": "length", "values": ["1 s", "2 s", "3 s"]},
        ],
        "utterances": [
            {
                "id": "test-1",
                "seconds": 1.0,
                "length": 4,
                "groups": [0, 0],
                "of": [0, 1],
                "errors": [0, 2],
                "reference": "turn on the light",
                "heard": [["turn on the light", "===="], ["turn the lights", "=D=S"]],
                "audio": 1,
            },
            {
                "id": "test-2",
                "seconds": 2.0,
                "length": 1,
                "groups": [1, 1],
                "of": [0, 1],
                "errors": [0, 1],
                "reference": "stop",
                "heard": [["stop", "="], ["stop it", "=I"]],
                "audio": 1,
            },
            {
                "id": "test-3",
                "seconds": 3.0,
                "length": 2,
                "groups": [0, 2],
                "of": [0, 0],
                "errors": [1],
                "reference": "call anna",
                "heard": [["call hannah", "=S"]],
                "audio": 1,
            },
        ],
    }
    assert "evaluate.errors_page" not in family.write(tmp_path).read_text()  # nothing is left out


def test_audio_is_what_the_members_heard(family, tmp_path):
    audio = page_of(family.write(tmp_path)).audio
    assert list(audio) == [0, 1, 2]
    for index, text in audio.items():
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="float32")
        assert rate == family.corpus.sample_rate
        assert np.array_equal(samples, family.corpus.audio(family.corpus.test[index]))


def test_what_does_not_fit_is_left_out_and_told(family, tmp_path):
    page = family.write(tmp_path, utterances=2, audio_megabytes=0.03)
    found, text = page_of(page), page.read_text()
    assert ["reference" in one for one in found.content["utterances"]] == [True, True, False]
    assert [one["errors"] for one in found.content["utterances"]] == [[0, 2], [0, 1], [1]]  # counts are of all
    assert list(found.audio) == [0]  # the first of those on which members differ most; the second is too long
    assert [one.get("audio") for one in found.content["utterances"]] == [1, None, None]
    assert "Figures are of all 3 utterances; 2 of them have their texts in this page" in text
    assert "1 of 2 utterances have their audio in this page" in text
    assert not page_of(family.write(tmp_path, audio_megabytes=0)).audio


@pytest.mark.parametrize(("utterances", "expected"), [(1, {1}), (2, {1, 3}), (3, {1, 2, 3})])
def test_those_on_which_members_differ_most_have_their_texts(tmp_path, utterances, expected):
    heard = {"teacher": ("a b c", "x b c", "x y z", "x b c"), "student": ("a b c", "a b c", "x y z", "y b c")}
    page = page_of(evaluated(tmp_path, [{"text": "a b c"}] * 4, heard).write(tmp_path, utterances=utterances))
    found = page.content["utterances"]
    assert {index for index, one in enumerate(found) if "heard" in one} == expected  # other words, then most errors
    assert set(page.audio) == expected


def test_the_same_evaluation_gives_the_same_bytes(family, tmp_path):
    assert family.write(tmp_path / "one").read_bytes() == family.write(tmp_path / "two").read_bytes()


def test_after_a_normaliser_its_texts_are_aligned_and_the_raw_ones_are_there(tmp_path):
    said = ({"text": "it's the colour red"}, {"text": "no"})
    heard = {"teacher": ("It is the color red.", "no"), "student": ("it is the color bread", "No.")}
    found = page_of(evaluated(tmp_path, said, heard, normalizer="english").write(tmp_path)).content
    first, second = found["utterances"]
    assert first["reference"] == "it is the color red" and first["length"] == 5
    assert first["heard"] == [["it is the color red", "====="], ["it is the color bread", "====S"]]
    assert first["raw"] == {
        "reference": "it's the colour red",
        "heard": ["It is the color red.", "it is the color bread"],
        "of": [0, 1],
    }
    assert second["of"] == [0, 0] and second["raw"]["of"] == [0, 1]  # the same as it is counted
    assert found["normalizer"].startswith("english (whisper_normalizer")


def test_by_characters(tmp_path):
    found = page_of(evaluated(tmp_path, [{"text": "你好吗"}], {"teacher": ["你们好"]}, "cer").write(tmp_path)).content
    assert (found["unit"], found["rate"]) == ("characters", "CER")
    (one,) = found["utterances"]
    assert (one["length"], one["errors"], one["heard"]) == (3, [2], [["你们好", "=I=D"]])


def test_no_text_becomes_markup_or_ends_its_script(family, tmp_path):
    said = [{"text": "stop", "accent": HOSTILE, "noise": HOSTILE + "x"}, {"text": f"a {HOSTILE}", "accent": "b"}]
    hostile = evaluated(tmp_path, said, {"teacher": [HOSTILE, "a"]})
    text = hostile.write(tmp_path).read_text(encoding="utf-8")
    found, plain = Page(text), page_of(family.write(tmp_path / "plain"))
    assert set(found.elements) == set(plain.elements) and "img" not in found.elements
    assert found.elements.count("script") == 2 + len(found.audio)
    assert HOSTILE in found.content["filters"][0]["values"]
    assert found.content["utterances"][0]["heard"][0][0] == normalise(HOSTILE)
    assert "\u2028" not in text and "\u2029" not in text


@pytest.mark.parametrize("text", [HOSTILE, "</SCRIPT >", "<!--<script>", "\u2028", "&lt;", "\\u003c"])
def test_json_in_a_script_is_read_back(text):
    written = json_in_script({text: [text]})
    assert not re.search("[<>&\u2028\u2029]", written) and json.loads(written) == {text: [text]}


def test_nothing_is_loaded_and_nothing_else_runs(family, tmp_path):
    page = page_of(family.write(tmp_path))
    assert page.outside == ["leaderboard.html"]
    hashes = {
        kind: base64.b64encode(hashlib.sha256(page.scripts[kind].encode()).digest()).decode()
        for kind in ("script", "style")
    }
    assert f"script-src 'sha256-{hashes['script']}';" in page.policy
    assert f"style-src 'sha256-{hashes['style']}';" in page.policy
    assert page.policy.startswith("default-src 'none';")


def test_an_evaluation_of_other_utterances_is_refused(family, tmp_path):
    other = evaluated(tmp_path, SAID[:2], {name: texts[:2] for name, texts in HEARD.items()})
    lines = (other.evaluation / "student" / "hypotheses.jsonl").read_text().splitlines()
    (other.evaluation / "student" / "hypotheses.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(
        UserError, match=r"student.*1 utterances.*the 2 of the prepared corpus; run `make repro ARGS='evaluate'`"
    ):
        other.write(tmp_path)
    (other.evaluation / "student" / "hypotheses.jsonl").unlink()
    with pytest.raises(UserError, match=r"hypotheses.jsonl: cannot be read"):
        other.write(tmp_path)
