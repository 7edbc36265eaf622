import json
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from diminuendo.core.files import sha256_of
from diminuendo.data import sources
from diminuendo.data.prepared import SPLITS, UNLABELLED
from diminuendo.raw.digests import MISSING, NOT_A_FILE
from diminuendo.raw.index import COLLECTED, MANIFESTS, SOURCE, build_index, named_audio
from tests.factories.audio import dummy_corpus, manifest_params, prepare_corpus, write_manifest


def index_of(place, **data):
    data = {"source": "manifest", "path": place / "own", "collected": place / "collected"} | data
    return build_index(data, place / "kept").files


def name_audio(place, *names):
    (place / "own").mkdir()
    write_manifest(place / "own/train.jsonl", [{"audio_filepath": name} for name in names])


def test_names_are_those_of_the_library():
    assert tuple(f"{split}.jsonl" for split in (*SPLITS, UNLABELLED)) == MANIFESTS
    assert (SOURCE, COLLECTED) == (sources.SOURCE, sources.COLLECTED)


def test_all_that_prepare_reads_is_in_the_index(tmp_path):
    dummy_corpus(tmp_path / "own")
    lines = (tmp_path / "own/train.jsonl").read_text().splitlines()
    (tmp_path / "collected").mkdir()
    for split in ("train", "unlabelled"):
        write_manifest(
            tmp_path / f"collected/{split}.jsonl", [json.loads(line) | {"id": f"{split}-more"} for line in lines[:1]]
        )
    (tmp_path / "collected/train-000.wav").write_bytes((tmp_path / "own/train-000.wav").read_bytes())
    params = manifest_params(tmp_path / "own", **{"data.collected": str(tmp_path / "collected")})
    (tmp_path / "out").mkdir()
    prepare_corpus(params, tmp_path / "out", workers=1, say=lambda _: None, report=tmp_path / "report.txt")
    assert index_of(tmp_path) == json.loads((tmp_path / "out/sources.json").read_text())["files"]


def test_files_are_found_as_prepare_finds_them_and_named_as_the_manifest_does(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.wav").write_bytes(b"sound")
    names = ["linked/x.wav", "../elsewhere/x.wav", str(elsewhere / "x.wav"), "x.wav", ".//linked/./x.wav/", "\ud800"]
    name_audio(tmp_path, *names, "linked", "gone.wav")
    (tmp_path / "own/linked").symlink_to(elsewhere)
    (tmp_path / "own/x.wav").symlink_to(elsewhere / "x.wav")
    found = index_of(tmp_path)["data.path"]
    assert found.pop("train.jsonl") == sha256_of(tmp_path / "own/train.jsonl")
    digest = sha256_of(elsewhere / "x.wav")
    assert found == dict.fromkeys(names, digest) | {"\ud800": MISSING, "linked": NOT_A_FILE, "gone.wav": MISSING}


def test_the_same_data_elsewhere_or_behind_a_link_are_the_same(tmp_path):
    one = tmp_path / "one"
    one.mkdir()
    (one / "beside.wav").write_bytes(b"sound")
    name_audio(one, "../beside.wav")
    two = tmp_path / "two/deep"
    two.mkdir(parents=True)
    (two / "own").symlink_to(one / "own")
    assert index_of(one) == index_of(two)


def test_of_a_synthetic_source_it_is_what_speaks_and_what_is_collected(tmp_path):
    name_audio(tmp_path, "x.wav")
    (tmp_path / "own/grammar.yaml").write_text("start: [yes]")
    (tmp_path / "collected").mkdir()
    write_manifest(tmp_path / "collected/test.jsonl", [{"audio_filepath": "y.wav"}])
    found = index_of(tmp_path, source="synthetic")
    assert sorted(found["data.path"]) == ["grammar.yaml", "voices.yaml"]
    assert sorted(found["data.collected"]) == ["test.jsonl", "y.wav"]


@pytest.mark.parametrize("data", [{}, {"path": None, "collected": 3}, {"path": "a\0b", "collected": "\ud800"}])
def test_folders_that_are_none_are_left_to_prepare(tmp_path, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert build_index(data, tmp_path / "kept").files == {"data.path": {}, "data.collected": {}}


def test_a_manifest_that_is_a_pipe_does_not_block(tmp_path):
    (tmp_path / "own").mkdir()
    os.mkfifo(tmp_path / "own/train.jsonl")
    assert index_of(tmp_path)["data.path"] == {"train.jsonl": NOT_A_FILE}


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
lines = st.fixed_dictionaries({}, optional={"audio_filepath": values | st.text(), "text": values}) | values
lines_of_audio = st.lists(st.builds(lambda name: json.dumps({"audio_filepath": name}), st.text())).map(
    lambda found: "\n".join(found).encode()
)


@given(st.binary() | st.lists(lines.map(json.dumps)).map("\n".join).map(str.encode))
@example(b"[" * 100_000)
@example(b'{"audio_filepath": ' + b"9" * 5000 + b"}")
@example(b'\xef\xbb\xbf{"audio_filepath": "\\ud800\\u0000"}')
def test_any_bytes_are_read_without_an_error(content):
    names = list(named_audio(content))
    assert all(isinstance(name, str) and name.strip() for name in names)
    json.dumps(names).encode()


@settings(max_examples=20)  # each costs files
@given(lines_of_audio)
@example(b'{"audio_filepath": "\\ud800\\u0000"}')
def test_any_name_is_looked_up_without_an_error(tmp_path_factory, content):
    place = tmp_path_factory.mktemp("any")
    (place / "own").mkdir()
    (place / "own/train.jsonl").write_bytes(content)
    found = index_of(place)["data.path"]
    assert set(found) == {"train.jsonl", *named_audio(content)}
    json.dumps(found).encode()


def test_a_good_line_among_bad_ones_counts():
    content = b'\xef\xbb\xbf{"audio_filepath": "a.wav"}\r\n\xff\n[]\n{"audio_filepath": 3}\n{"audio_filepath": "b.wav"}'
    assert list(named_audio(content)) == ["a.wav", "b.wav"]
