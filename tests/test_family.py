from pathlib import Path

import pytest

from diminuendo.core.errors import UserError
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


def test_a_stage_of_the_roots_pipeline_is_the_checkouts_own_whatever_is_exported(monkeypatch):
    monkeypatch.setenv(VARIABLE, "params/other.yaml")
    monkeypatch.setenv("DVC_STAGE", "prepare")
    assert current().name is None
    monkeypatch.setenv("DVC_STAGE", "")  # what the commands of further families say
    assert current().name == "other"


def test_an_absolute_path_is_seen_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert family_of(tmp_path / "params" / "x.yaml").home == Path("families/x")


ELSEWHERE = ("other.yaml", "params/deep/x.yaml", "../params/x.yaml", "params/x.json", "params")
NO_NAMES = ("params/...yaml", "params/.yaml", "params/a b.yaml", "params/$(touch p).yaml", "params/-x.yaml")


@pytest.mark.parametrize("path", ELSEWHERE + NO_NAMES)
def test_a_file_elsewhere_has_no_home_and_the_message_says_where_to_put_it(path):
    with pytest.raises(UserError, match=r"are params.yaml or params/NAME.yaml"):
        family_of(path)
