import pytest

from diminuendo.artifact.code import Scope, code_digest
from diminuendo.provenance import history
from diminuendo.provenance.clone_parameters import with_parameters
from diminuendo.provenance.descent import Corpus, Model
from diminuendo.provenance.dvc_cache import DAMAGED, MISSING, WHOLE, Cache
from diminuendo.provenance.history import checkpoint_folders, checkpoints_in, commit_with, differing_stages, has_stage
from diminuendo.provenance.places import Places
from tests.factories.project import run


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Three commits: one of the code, one of something else, one of other code; the digest of the first."""
    root = tmp_path_factory.mktemp("history")
    run(root, "git", "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(root, "git", "config", key, value)
    (root / "diminuendo").mkdir()
    (root / "stages").mkdir()
    (root / "stages/train.py").write_text("import diminuendo.model\n")
    (root / "diminuendo/model.py").write_text("width = 1\n")
    digest, commits = code_digest("train", root), []
    for name, text in (("README", "one"), ("README", "two"), ("diminuendo/model.py", "width = 2\n")):
        (root / name).write_text(text)
        run(root, "git", "add", "-A")
        run(root, "git", "commit", "-qm", text)
        commits.append(run(root, "git", "rev-parse", "HEAD").stdout.strip())
    return root, digest, commits


def test_code_is_found_in_the_newest_commit_that_has_it(repository):
    root, digest, commits = repository
    assert commit_with(root, {Scope("train"): digest}) == commits[1]


def test_a_commit_that_a_run_noted_comes_first_if_it_has_the_code(repository):
    root, digest, commits = repository
    assert commit_with(root, {Scope("train"): digest}, [commits[0]]) == commits[0]
    assert commit_with(root, {Scope("train"): digest}, [commits[2]]) == commits[1]
    assert differing_stages(root, commits[2], {Scope("train"): digest}) == ["train"]


def test_the_code_of_a_member_is_what_its_settings_use(repository):
    root, _, commits = repository
    scope = Scope("train", ("diminuendo.model",))
    code = {scope: code_digest("train", root, scope.without)}
    assert commit_with(root, code, [commits[0]]) == commits[0]  # what was edited since is none of it
    assert differing_stages(root, commits[2], code | {Scope("train"): "0" * 64}) == ["train"]


def test_code_that_no_commit_has_is_not_found(repository, tmp_path):
    root, digest, _ = repository
    assert commit_with(root, {Scope("train"): "0" * 64}) is None
    assert commit_with(tmp_path, {Scope("train"): digest}) is None  # no repository


def test_a_long_search_says_what_it_does(repository, monkeypatch, capsys):
    root = repository[0]
    monkeypatch.setattr(history, "PATIENCE", 60.0)
    assert commit_with(root, {Scope("train"): "0" * 64}) is None and capsys.readouterr() == ("", "")
    monkeypatch.setattr(history, "PATIENCE", -1.0)
    assert commit_with(root, {Scope("train"): "0" * 64}) is None
    told = "note: looking for the code of train in 3 commits, which takes a while\n"
    assert capsys.readouterr() == ("", told)  # once, and not on the output, which may be JSON


def test_files_of_dvc_that_are_not_yaml_are_found_once(tmp_path, monkeypatch):
    (tmp_path / "dvc.lock").write_text("stages: {}\n")
    (tmp_path / "data").mkdir()
    for name, text in (("good", "outs: []\n"), ("bad", "outs: [\n"), ("list", "- outs\n")):
        (tmp_path / f"data/{name}.dvc").write_text(text)
    places = Places(tmp_path)
    monkeypatch.setattr("yaml.SafeLoader", None)  # the slow one
    assert [path.name for path in places.unreadable_files] == ["bad.dvc", "list.dvc"]
    monkeypatch.setattr("yaml.load", None)
    assert len(places.unreadable_files) == 2


def test_outputs_are_found_in_the_lock_file_of_any_commit(repository):
    root, _, commits = repository
    for md5 in ("1" * 32, "2" * 32):
        (root / "dvc.lock").write_text(f"stages:\n  s:\n    outs:\n    - path: models/a\n      md5: {md5}.dir\n")
        run(root, "git", "add", "-A")
        run(root, "git", "commit", "-qm", md5)
    (root / "dvc.lock").write_text("stages:\n  s:\n    outs:\n    - {path: models/a, md5: 3333.dir}\n")
    found = list(Cache(root).outputs("models/a"))
    assert [entry.md5[0] for entry in found] == ["3", "2", "1"]
    assert found[0].commit is None and found[1].commit not in (None, *commits)
    assert list(Cache(root).outputs("models/b")) == []


def test_objects_of_the_cache_have_a_state(tmp_path):
    cache = Cache(tmp_path)
    (tmp_path / ".dvc/cache/files/md5/90").mkdir(parents=True)
    path = cache.object("900150983cd24fb0d6963f7d28e17f72")
    path.write_text("abc")
    assert cache.state("900150983cd24fb0d6963f7d28e17f72") == WHOLE
    path.write_text("abd")
    assert cache.state("900150983cd24fb0d6963f7d28e17f72") == DAMAGED
    assert cache.state("0" * 32) == MISSING


def test_the_cache_is_where_dvc_is_told_to_have_it(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = ../elsewhere\n")
    assert cache_folder(tmp_path) == (tmp_path / "elsewhere/files/md5").resolve()


def cache_folder(root):
    return Cache(root).folder.resolve()


def test_parameters_of_a_chain_become_a_params_file_with_no_other_member():
    raw = {
        "seed": 1, "data": {"path": "x", "min_seconds": 9, "dev_fraction": 0.1},
        "text": {}, "frontend": {}, "teacher": {},
        "distill": {"other": {}}, "compress_architecture": {}, "prune": {"other": {}}, "quantize": {},
    }  # fmt: skip
    corpus = Corpus("c", {"parameters": {"seed": 5, "data": {"min_seconds": 2}, "text": {"units": "characters"}}})
    own = {"seed": 5, "training": {"epochs": 2}}
    trained = {"stage": "train_teacher", "parameters": {**own, "frontend": {"mels": 3}, "losses": {}}}
    teacher = Model("t", "teacher", trained)
    student = Model("s", "student", {"stage": "distill", "parameters": {**own, "from": "teacher"}}, (teacher,), corpus)
    found = with_parameters(raw, student.chain(), [corpus])
    assert found["seed"] == 5 and found["data"] == {"path": "x", "min_seconds": 2} and found["frontend"] == {"mels": 3}
    assert found["teacher"] == {"losses": {}, "training": {"epochs": 2}}
    assert found["distill"] == {"student": {"from": "teacher", "training": {"epochs": 2}}} and found["prune"] == {}
    assert raw["distill"] == {"other": {}}


def test_every_kind_of_checkpoint_is_found_and_folders_alone_are_places():
    hub = {"hub": "owner/name", "revision": "0" * 40}
    parameters = {
        "seed": 1,
        "teacher": {"pretrained": {"path": "checkpoints/large"}},
        "distill": {"small": {"pretrained": hub}, "narrow": {"from": "teacher"}},
    }
    found = checkpoints_in(parameters)
    assert found == {"teacher.pretrained": {"path": "checkpoints/large"}, "distill.small.pretrained": hub}
    assert checkpoint_folders(parameters) == {"teacher.pretrained": "checkpoints/large"}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [("prune@slim", True), ("prune@gone", False), ("quantize@slim", False), ("train_teacher", True)],
)
def test_a_member_that_was_taken_out_has_no_stage_any_more(stage, expected):
    assert has_stage({"prune": {"slim": {}}, "quantize": None}, stage) is expected
    assert has_stage({}, stage)  # of a file that cannot be read, nothing is known
