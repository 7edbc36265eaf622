import json

import pytest

from diminuendo.artifact.lineage import LABELS
from diminuendo.compression.label_distillation.config import LabelDistillConfig
from diminuendo.compression.label_distillation.technique import learned_from
from diminuendo.core.errors import UserError
from diminuendo.data.prepare import prepare
from diminuendo.data.prepared import PreparedCorpus
from stages.prepare import corpus_settings
from tests.factories.audio import dummy_corpus, manifest_params


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    source = dummy_corpus(folder / "source")
    *lines, last = (source / "train.jsonl").read_text().splitlines()
    silent = {key: value for key, value in json.loads(last).items() if key != "text"} | {"id": "u0"}
    (source / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (source / "unlabelled.jsonl").write_text(f"{json.dumps(silent)}\n")
    (folder / "prepared").mkdir()
    prepare(corpus_settings(manifest_params(source)), folder / "prepared", None)
    return PreparedCorpus.open(folder / "prepared")


def written(folder, *labels):
    """A folder of texts: (split, id, text, why nobody learns from it)."""
    keys = ("split", "id", "text", "rejected")
    lines = [json.dumps({**dict(zip(keys, label)), "log_prob": -0.1}) for label in labels]
    (folder / LABELS).write_text("".join(f"{line}\n" for line in lines))
    return folder


def settings(as_parent=True, **keys):
    own = {
        "layers": 1,
        "width": 8,
        "heads": 0,
        "feed_forward": 8,
        "conv_kernel": 5,
        "subsampling": 2,
        "dropout": 0.0,
        "subsampling_channels": 0,
    }
    architecture = {"kind": "parent", "layers": 1} if as_parent else own
    return LabelDistillConfig(**{"from": "teacher", "labels": "heard", "architecture": architecture, **keys})


def test_the_texts_that_are_kept_stand_in_the_place_of_the_corpus_own(corpus, tmp_path):
    folder = written(
        tmp_path,
        ("train", "train-000", "abc", None),
        ("train", "train-001", "abc", "unlikely"),
        ("unlabelled", "u0", "de", None),
        ("dev", "dev-001", "a", None),
    )
    view = learned_from(corpus, folder, settings())
    assert [(one.id, one.text) for one in view.train] == [("train-000", "abc"), ("u0", "de")]
    assert [(one.id, one.text) for one in view.dev] == [("dev-001", "a")]
    assert view.unlabelled == [] and view.test == corpus.test
    assert (view.audio(view.train[0]) == corpus.audio(corpus.train[0])).all()


def test_beside_them_the_corpus_own(corpus, tmp_path):
    folder = written(tmp_path, ("train", "train-000", "abc", None))
    view = learned_from(corpus, folder, settings(real_texts=True))
    assert [one.text for one in view.train] == ["abc", *(one.text for one in corpus.train)]


def test_a_student_of_other_tokens_learns_the_spoken_words_and_is_scored_by_the_corpus(corpus, tmp_path, capsys):
    folder = written(
        tmp_path,
        ("train", "train-000", "Abc, de!", None),
        ("train", "train-001", "xyz", None),  # no letter of the corpus
        ("dev", "dev-001", "a", None),
    )
    view = learned_from(corpus, folder, settings(as_parent=False))
    assert [one.text for one in view.train] == ["abc de"]
    assert "train: 1 of 2 texts cannot be spelled by the student's tokens" in capsys.readouterr().err
    assert view.dev == corpus.dev


def test_where_no_text_of_dev_is_kept_it_is_told_what_the_student_is_scored_by(corpus, tmp_path, capsys):
    folder = written(tmp_path, ("train", "train-000", "abc", None), ("dev", "dev-001", "a", "unlikely"))
    view = learned_from(corpus, folder, settings())
    assert view.dev == corpus.dev
    assert "scored against the corpus' own" in capsys.readouterr().err


def test_the_view_stays_when_the_tokens_are_changed(corpus, tmp_path):
    folder = written(tmp_path, ("train", "train-000", "abc", None))
    view = learned_from(corpus, folder, settings()).spelling(corpus.tokens)
    assert [one.text for one in view.train] == ["abc"]


def test_nothing_to_learn_from(corpus, tmp_path):
    labels = [
        ("train", "train-000", "", "no text"),
        ("unlabelled", "u0", "a", "unlikely"),
        ("dev", "dev-000", "a", None),
    ]
    view = learned_from(corpus, written(tmp_path, *labels), settings())
    why = r"none of the 2 texts of train is good enough to learn from \(no text: 1; unlikely: 1\); relax min_log_prob"
    with pytest.raises(UserError, match=f"^labels: {why}"):
        view.train  # noqa: B018


def test_nothing_that_its_tokens_can_spell(corpus, tmp_path):
    labels = [("train", "train-000", "xyz", None), ("train", "train-001", "ab", "unlikely")]
    view = learned_from(corpus, written(tmp_path, *labels), settings(as_parent=False))
    with pytest.raises(UserError, match=r"^labels: none of the 1 texts that are kept can be spelled by the student's"):
        view.train  # noqa: B018
