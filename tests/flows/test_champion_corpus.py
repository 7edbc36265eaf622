"""The test set of the champion, where copies of it may be damaged."""

import shutil
from types import SimpleNamespace

import pytest

from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from tests.factories.evaluation import spoken_corpus


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    spoken_corpus(folder / "prepared")
    return folder / "prepared"


class Places:
    """A checkout and a worktree; ``got`` are the revisions that DVC was asked for."""

    def __init__(self, tmp_path, original, kept_by_dvc=True):
        self.root, self.folder, self.got = tmp_path / "p", tmp_path / "p-retraining", []
        self.original, self.kept_by_dvc = original, kept_by_dvc
        self.version = SimpleNamespace(
            address="models:/commands/1", corpus=PreparedCorpus.open(original).digest, git_tag="week1", git_commit=None
        )

    def dvc(self, *arguments, check):
        assert arguments[:3] == ("get", "--quiet", "--rev") and not check
        self.got.append(arguments[3])
        if not self.kept_by_dvc:
            return 1
        shutil.copytree(self.original, arguments[arguments.index("-o") + 1])
        return 0

    def put(self, place):
        return shutil.copytree(self.original, place / "data/prepared")

    def corpus(self):
        from flows.retraining.champion import corpus_of

        found = corpus_of(self.version, self)
        assert PreparedCorpus.open(found).digest == self.version.corpus
        return found


def damage(corpus):
    shard = max((path for path in corpus.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


@pytest.fixture
def places(tmp_path, original):
    return Places(tmp_path, original)


def test_the_worktree_s_own_is_taken_unless_it_is_damaged(places):
    own = places.put(places.folder)
    assert places.corpus() == own and not places.got
    damage(own)
    assert places.corpus() != own and places.got == ["week1"]


def test_a_kept_copy_that_was_damaged_is_replaced(places):
    kept = places.corpus()
    assert places.corpus() == kept and places.got == ["week1"]
    damage(kept)
    assert places.corpus() == kept and places.got == ["week1", "week1"]
    assert [path.name for path in kept.parent.iterdir()] == [places.version.corpus]


def test_the_checkout_s_is_copied_for_a_person_may_replace_it(places):
    theirs = places.put(places.root)
    found = places.corpus()
    assert places.root not in found.parents and not places.got
    shutil.rmtree(theirs)
    assert places.corpus() == found


def test_a_damaged_one_of_the_checkout_is_passed_by(places):
    damage(places.put(places.root))
    places.corpus()
    assert places.got == ["week1"]


def test_what_nothing_has_whole_is_told_with_all_that_was_tried(tmp_path, original):
    places = Places(tmp_path, original, kept_by_dvc=False)
    damage(places.put(places.root))
    with pytest.raises(UserError, match=r"cannot be restored \(.*was changed.*; week1: DVC does not have it\)"):
        places.corpus()
    assert not (places.folder / ".work/champion").exists()
