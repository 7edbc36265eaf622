import shutil

import pytest

from diminuendo.artifact import code


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
            "stages/context.py": "import diminuendo.tracking.track\n",
            "diminuendo/models/big.py": (
                "from . import layers\nfrom ..text import words\nfrom stages.context import StageContext\n"
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
    assert list(code.modules_of("train", root)) == [
        "diminuendo.models.big",
        "diminuendo.models.layers",
        "diminuendo.text",
        "stages.train",
    ]


def test_code_digest_follows_the_code_that_shapes_the_result_only(root):
    before = code.code_digest("train", root)
    for name in ("diminuendo/unused.py", "diminuendo/tracking/track.py", "stages/context.py"):
        (root / name).write_text("changed = True\n")
    assert code.code_digest("train", root) == before
    (root / "diminuendo/text.py").write_text("words = 2\n")
    assert code.code_digest("train", root) != before


def test_a_package_that_imports_only_what_runs_around_a_stage_is_no_code_of_it(root):
    before, package = code.modules_of("train", root), root / "diminuendo/__init__.py"
    package.write_text('"""Only said."""\n\nimport diminuendo.tracking.track\n\n__version__ = "1"\n')
    assert code.modules_of("train", root) == before
    package.write_text("import diminuendo.tracking.track\nimport diminuendo.text\n")
    assert "diminuendo" in code.modules_of("train", root)


def test_code_digest_does_not_name_the_place(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "root"
    shutil.copytree(root, other)
    assert code.code_digest("train", other) == code.code_digest("train", root)
