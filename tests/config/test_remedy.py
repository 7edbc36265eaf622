import pytest

from diminuendo.config.remedy import repro


@pytest.mark.parametrize(
    ("path", "options", "command"),
    [
        ("models/teacher", {}, "`make repro`"),
        ("data/prepared/corpus.json", {"stage": "prepare"}, "`make repro ARGS='prepare'`"),
        ("models/teacher", {"force": True}, "`make repro ARGS='--force'`"),
        ("families/digits/models/teacher", {}, "`make repro PARAMS=params/digits.yaml`"),
        ("families/digits", {"stage": "evaluate"}, "`make repro PARAMS=params/digits.yaml ARGS='evaluate'`"),
        (
            "families/digits/data",
            {"stage": "prepare", "force": True},
            "`make repro PARAMS=params/digits.yaml ARGS='--force prepare'`",
        ),
        (".", {}, "`make repro`"),
        ("../families/digits", {}, "`make repro`"),  # of no family of this checkout
    ],
)
def test_the_command_is_that_of_the_family_whose_home_it_is(tmp_path, monkeypatch, path, options, command):
    monkeypatch.chdir(tmp_path)
    assert repro(path, **options) == command
    assert repro(tmp_path / path, **options) == command
