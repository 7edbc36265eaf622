from pathlib import Path

import pytest

from diminuendo.errors import UserError
from diminuendo.family import VARIABLE, current, family_of


def test_the_checkouts_own_family_lives_in_the_root(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    own = current()
    assert (own.name, own.corpus, own.models) == (None, Path("data/prepared"), Path("models"))


def test_another_family_has_a_home_of_its_own(monkeypatch):
    monkeypatch.setenv(VARIABLE, "./params/x.yaml")
    other = current()
    assert (other.name, other.params) == ("x", Path("params/x.yaml"))
    assert other.corpus == Path("families/x/data/prepared") and other.pipeline == Path("families/x/dvc.yaml")


@pytest.mark.parametrize(
    ("stage", "params"),
    [
        ("prepare", "params.yaml"),
        ("dvc.yaml:distill@a", "params.yaml"),
        ("families/x/dvc.yaml:prune@b", "params/x.yaml"),
    ],
)
def test_a_stage_works_on_the_family_of_its_pipeline_whatever_is_exported(monkeypatch, stage, params):
    monkeypatch.setenv(VARIABLE, "params/other.yaml")
    monkeypatch.setenv("DVC_STAGE", stage)
    assert current().params == Path(params)


def test_an_absolute_path_is_seen_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert family_of(tmp_path / "params" / "x.yaml").home == Path("families/x")


@pytest.mark.parametrize("path", ["other.yaml", "params/deep/x.yaml", "../params/x.yaml", "params/x.json", "params"])
def test_a_file_elsewhere_has_no_home_and_the_message_says_where_to_put_it(path):
    with pytest.raises(UserError, match=r"expected|are params.yaml or params/NAME.yaml"):
        family_of(path)
