import json
import shutil

import pytest

from diminuendo.artifact import lineage
from diminuendo.core.errors import UserError


def sources(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in {path.parent for path in root.rglob("*.py")}:
        (folder / "__init__.py").touch()
    (root / "diminuendo/models/__init__.py").write_text('"""Only said."""')
    return root


@pytest.fixture
def root(tmp_path):
    return sources(
        tmp_path,
        {
            "stages/train.py": "def main():\n    from diminuendo.models.big import Big\n    import numpy\n",
            "stages/room.py": "import diminuendo.tracking.track\n",
            "diminuendo/models/big.py": (
                "from . import layers\nfrom ..text import words\nfrom stages.context import room\n"
            ),
            "diminuendo/models/layers.py": (
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from diminuendo import unused\n"
            ),
            "diminuendo/text.py": "words = 1\n",
            "diminuendo/unused.py": "",
            "diminuendo/tracking/track.py": "",
        },
    )


def test_modules_are_found_through_late_relative_and_package_imports(root):
    assert list(lineage.modules_of("train", root)) == [
        "diminuendo.models.big",
        "diminuendo.models.layers",
        "diminuendo.text",
        "stages.train",
    ]


def test_code_digest_follows_the_code_that_shapes_the_result_only(root):
    before = lineage.code_digest("train", root)
    for name in ("diminuendo/unused.py", "diminuendo/tracking/track.py", "stages/room.py"):
        (root / name).write_text("changed = True\n")
    assert lineage.code_digest("train", root) == before
    (root / "diminuendo/text.py").write_text("words = 2\n")
    assert lineage.code_digest("train", root) != before


def test_a_package_that_imports_only_what_runs_around_a_stage_is_no_code_of_it(root):
    before, package = lineage.modules_of("train", root), root / "diminuendo/__init__.py"
    package.write_text('"""Only said."""\n\nimport diminuendo.tracking.track\n\n__version__ = "1"\n')
    assert lineage.modules_of("train", root) == before
    package.write_text("import diminuendo.tracking.track\nimport diminuendo.text\n")
    assert "diminuendo" in lineage.modules_of("train", root)


def test_code_digest_does_not_name_the_place(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "root"
    shutil.copytree(root, other)
    assert lineage.code_digest("train", other) == lineage.code_digest("train", root)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "models" / "student"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(bytes(range(256)) * 8)
    (folder / "config.json").write_text("{}")
    record = lineage.record("distill", "student", {"seed": 1}, code="c", corpus="d", parents={"teacher": "t"})
    lineage.write_record(folder, record)
    return folder


def test_record_is_read_back_whole(model):
    record = lineage.verified_record(model)
    assert record["parents"] == {"teacher": "t"}
    assert sorted(record["files"]) == ["config.json", "model.onnx"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-2])  # the last byte of a text is its newline


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["model.onnx", "config.json", "lineage.json"])
def test_damage_is_found_and_named(model, damage, name):
    damage(model / name)
    with pytest.raises(UserError, match=rf"{name}: .*dvc checkout"):
        lineage.verified_record(model)


def test_record_with_an_edited_parameter_is_refused(model):
    path = model / "lineage.json"
    record = json.loads(path.read_text())
    record["parameters"]["seed"] = 2
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="changed since it was written"):
        lineage.verified_record(model)


def whole(name, parents, corpus="c1"):
    """A record with its files, as ``write_record`` leaves it; ``parents``: whole records."""
    ancestors, corpora = lineage.ancestors_of(parents)
    stated = lineage.record(
        "stage",
        name,
        {"of": name},
        code="k",
        corpus=corpus,
        parents={parent["name"]: parent["files"]["model.onnx"] for parent in parents},
        ancestors=ancestors,
        corpora=corpora | {corpus: {"source": corpus}},
    )
    return stated | {"files": {"model.onnx": f"digest of {name}"}, "digest": "d"}


def test_a_record_repeats_all_that_it_descends_from_once():
    teacher = whole("teacher", [])
    student = whole("student", [teacher], corpus="c2")
    last = whole("last", [student, teacher])
    assert set(last["ancestors"]) == {"digest of teacher", "digest of student"}
    assert set(last["corpora"]) == {"c1", "c2"}
    assert last["ancestors"]["digest of student"] == {key: student[key] for key in lineage.OWN_KEYS}
    assert "ancestors" not in last["ancestors"]["digest of student"]


def test_a_corpus_is_summarised_with_the_digest_of_its_raw_files():
    corpus = {"digest": "d", "source": "manifest", "splits": {}, "files": {"sources.json": "s", "train.jsonl": "t"}}
    assert lineage.corpus_summary(corpus) == {"source": "manifest", "splits": {}, "raw": "s"}
    assert lineage.corpus_summary({"digest": "d"}) == {}
