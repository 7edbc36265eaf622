import shutil
from fnmatch import fnmatchcase

import pytest

from diminuendo.artifact import code
from diminuendo.compression.quantization.config import QuantizeConfig


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


def test_a_string_that_names_a_module_and_a_file_that_a_module_names_count(root):
    """Processes are started by name, and a template is read by its own."""
    before = code.code_digest("train", root)
    (root / "stages/train.py").write_text('run("diminuendo.worker", "page.j2", "no.such", "diminuendo.no_such")\n')
    (root / "stages/page.j2").write_text("<p>")
    (root / "diminuendo/worker.py").write_text("import diminuendo.text\n")
    found = code.modules_of("train", root)
    assert list(found) == ["diminuendo.text", "diminuendo.worker", "stages.train", "stages/page.j2"]
    first = code.code_digest("train", root)
    (root / "stages/page.j2").write_text("<b>")
    assert len({before, first, code.code_digest("train", root)}) == 3


def test_a_technique_that_has_no_stage_of_its_own_is_found_in_the_registry(root):
    package = root / "diminuendo/compression"
    sources(
        root,
        {
            "stages/member.py": "from diminuendo.compression.registry import TECHNIQUES\n",
            "diminuendo/compression/registry.py": (
                'TECHNIQUES: dict[str, str] = {\n    "prune": "diminuendo.compression.cut",\n'
                '    "other": "diminuendo.compression.other",\n}\n'
            ),
            "diminuendo/compression/cut/technique.py": "import diminuendo.text\n",
            "diminuendo/compression/cut/config.py": "default = 1\n",
            "diminuendo/compression/other/technique.py": "x = 1\n",
            "diminuendo/compression/other/description.py": "x = 1\n",
            "stages/report.py": "x = 1\n",
        },
    )
    assert list(code.modules_of("prune", root)) == [
        "diminuendo.compression.cut.config",
        "diminuendo.compression.cut.technique",
        "diminuendo.text",
        "stages.member",
    ]
    assert "diminuendo.compression.other.description" in code.modules_of("report", root)
    before = code.code_digest("prune", root)
    (package / "registry.py").write_text('TECHNIQUES = {"prune": "diminuendo.compression.cut"}\n')
    (package / "other/technique.py").write_text("x = 2\n")
    assert code.code_digest("prune", root) == before
    (package / "cut/config.py").write_text("default = 2\n")
    assert code.code_digest("prune", root) != before


def test_what_settings_do_not_use_can_be_left_out(root):
    roots = ["stages.train"]
    assert code.reachable_digest(roots, root) == code.code_digest("train", root)
    found = code.modules_reachable(roots, root, without=["diminuendo.models.layers", "diminuendo.tex"])
    assert list(found) == ["diminuendo.models.big", "diminuendo.text", "stages.train"]
    assert "diminuendo.text" not in code.modules_reachable(roots, root, without=["diminuendo.models"])


def test_modules_that_nobody_accounts_for_are_named(root):
    (root / "diminuendo/found_by_magic.py").write_text("x = 1\n")
    loaded = ["diminuendo", "diminuendo.models", "diminuendo.text", "stages.context", "numpy", "diminuendo.no_such"]
    assert code.unexplained("train", loaded, root) == []
    assert code.unexplained("train", [*loaded, "diminuendo.found_by_magic"], root) == ["diminuendo.found_by_magic"]


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Our own sources, to be edited."""
    place = tmp_path_factory.mktemp("sources")
    for package in code.PACKAGES:
        shutil.copytree(code.SOURCE_ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    return place


STAGES = ("prepare", "train_teacher", "distill", "compress_architecture", "prune", "quantize", "evaluate", "report")
TRAININGS = STAGES[1:6]


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("diminuendo/data/text.py", STAGES),  # train encodes, and compares what it decodes; report opens the corpus
        ("diminuendo/data/prepared.py", STAGES),
        ("diminuendo/data/manifest.py", ("prepare",)),
        ("diminuendo/synthesis/worker.py", ("prepare",)),
        ("diminuendo/compression/distillation/initialise.py", ("distill",)),
        ("diminuendo/compression/distillation/config.py", ("distill", "report")),
        ("diminuendo/compression/pruning/structured.py", ("prune",)),
        ("diminuendo/compression/quantization/mixed.py", ("quantize",)),
        ("diminuendo/models/conformer/onnx_writer.py", TRAININGS),
        ("diminuendo/evaluation/memory.py", ("evaluate",)),
        ("diminuendo/report/leaderboard.html.j2", ("report",)),
        ("diminuendo/report/errors/page.css", ("report",)),
        ("diminuendo/config/shipping.py", ()),
        ("diminuendo/tracking/track.py", ()),
    ],
)
def test_an_edit_touches_the_stages_that_it_can_change(copied, file, stages):
    before = {stage: code.code_digest(stage, copied) for stage in STAGES}
    source = (copied / file).read_text()
    (copied / file).write_text(source + "\n# edited\n")
    after = {stage: code.code_digest(stage, copied) for stage in STAGES}
    (copied / file).write_text(source)
    assert {stage for stage in STAGES if after[stage] != before[stage]} == set(stages)


def test_a_changed_encode_is_other_code_of_the_teacher(copied):
    before, path = code.code_digest("train_teacher", copied), copied / "diminuendo/data/text.py"
    source = path.read_text()
    assert "def encode(" in source
    path.write_text(source.replace("def encode(", "def encode(  # another\n", 1))
    assert code.code_digest("train_teacher", copied) != before
    path.write_text(source)


def test_training_does_not_reach_what_writes_files_or_compresses():
    found = code.modules_reachable(["diminuendo.training.trainer"])
    assert {"diminuendo.data.text", "diminuendo.losses.objective"} <= set(found)
    wrong = ("diminuendo.export", "diminuendo.artifact", "diminuendo.compression", "diminuendo.runtime")
    assert [name for name in found if name.startswith(wrong) or "onnx" in name] == []


@pytest.mark.parametrize("stage", TRAININGS[:-1])
def test_what_only_writes_files_is_no_code_of_a_training(stage):
    whole, training = code.modules_of(stage), code.training_modules_of(stage)
    assert {"diminuendo.training.trainer", "diminuendo.data.text", "diminuendo.models.conformer.module"} <= set(
        training
    )
    writers = {"diminuendo.models.conformer.onnx_writer", "diminuendo.onnx_graph.builder", "diminuendo.export.check"}
    writers |= {"diminuendo.models.conformer_onnx"}
    assert writers <= set(whole) - set(training)


def test_evaluation_reads_stored_weights_without_any_technique():
    assert [name for name in code.modules_of("evaluate") if name.startswith("diminuendo.compression")] == []


POST_TRAINING = {"post_training", "quantized_file", "weight_writer", "storage"}
AWARE = {"bit_choice", "quantization_aware", "quantization_aware_file", "quantized_file", "weight_writer", "storage"}
MIXED = {"mixed", "sensitivity", "calibration", "text_scores"}
FEEDBACK = {"calibration", "error_feedback", "input_grams"}
# What reads the file that training begins with, to see which channels can be equalised.
PARENT = {"checksum", "external_data", "formats", "message", "onnx_file", "outside", "tensors", "weight_graph", "wire"}
PARENT |= {"outer_products"}  # which of its products are in integers
BUDGET = {"budget": {"bits": 4}}


@pytest.mark.parametrize(
    ("settings", "used"),
    [
        ({"scheme": "fp16"}, POST_TRAINING),
        ({"scheme": "int8_weight"}, POST_TRAINING),
        ({"scheme": "int4_weight"}, POST_TRAINING),
        ({"scheme": "int8_dynamic"}, POST_TRAINING | {"integer"}),
        ({"scheme": "int8_static"}, POST_TRAINING | {"integer", "calibration"}),
        ({"scheme": "mixed", **BUDGET}, POST_TRAINING - {"post_training"} | MIXED),
        ({"scheme": "int4_weight", "error_feedback": True}, POST_TRAINING | FEEDBACK),
        ({"scheme": "mixed", "error_feedback": True, **BUDGET}, POST_TRAINING - {"post_training"} | MIXED | FEEDBACK),
        ({"scheme": "int8_weight", "quantization_aware": True}, AWARE),
        ({"scheme": "mixed", "quantization_aware": True, **BUDGET}, AWARE | MIXED),
    ],
)
def test_a_quantized_members_code_is_what_its_settings_use(settings, used):
    member = QuantizeConfig.model_validate({"from": "teacher", **settings})
    names = code.modules_of("quantize", without=member.unused_code)
    always = {"config", "coverage", "equalisation", "technique", "writing"}
    assert _below(names, "diminuendo.compression.quantization") == used | always
    assert ("diminuendo.compression.allocation" in names) == (member.scheme == "mixed")
    for package in ("training", "losses", "models", "features"):
        assert bool(_below(names, f"diminuendo.{package}")) == member.quantization_aware, package
    assert code.code_digest("quantize", without=member.unused_code) == code.digest_of_modules(names)


@pytest.mark.parametrize(
    ("settings", "used", "of_the_file"),
    [
        ({"scheme": "int8_weight"}, {"bit_choice", "quantization_aware", "storage"}, PARENT | {"codec", "seven_bits"}),
        (  # its bits are found by what a file would take
            {"scheme": "mixed", **BUDGET},
            {"bit_choice", "quantization_aware", "storage", "weight_writer"} | MIXED,
            PARENT | {"alone", "banks", "codec", "integers", "packed", "seven_bits", "session", "stored_names"},
        ),
    ],
)
def test_what_only_writes_a_quantized_file_is_no_code_of_its_training(settings, used, of_the_file):
    member = QuantizeConfig.model_validate({"from": "teacher", "quantization_aware": True, **settings})
    names = code.training_modules_of("quantize", without=member.unused_code)
    assert _below(names, "diminuendo.compression.quantization") == used | {"config", "equalisation", "technique"}
    assert _below(names, "diminuendo.artifact") == of_the_file
    assert "diminuendo.training.trainer" in names and not _below(names, "diminuendo.export")


def test_what_counts_the_zeros_of_a_file_is_no_code_of_pruning():
    name = "diminuendo.compression.pruning.stored_sparsity"
    assert name in code.modules_of("prune") and name not in code.training_modules_of("prune")


def _below(names, package):
    """The last parts of the names of modules in a package."""
    return {name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")}


def test_lists_name_what_exists_and_say_why():
    names = [name for package in code.PACKAGES for name in _modules_below(package)]
    for prefix, reason in code.LEFT_OUT.items():
        assert any(name == prefix or name.startswith(f"{prefix}.") for name in names), prefix
        assert len(reason) > 20
    for pattern, reason in code.LOADED_ALONG.items():
        assert any(fnmatchcase(name, pattern) for name in names), pattern
        assert len(reason) > 20


def _modules_below(package):
    for path in (code.SOURCE_ROOT / package).rglob("*.py"):
        yield ".".join(path.relative_to(code.SOURCE_ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_a_further_family_leaves_the_code_of_others_as_it_is(copied):
    table = copied / code.FAMILY_TABLE
    source = table.read_text()
    package = copied / "diminuendo/models/other"
    before = {stage: code.code_digest(stage, copied, kinds=("conformer",)) for stage in TRAININGS}
    everything = code.code_digest("prune", copied)
    package.mkdir()
    for name in ("__init__", "family", "onnx_writer"):
        (package / f"{name}.py").write_text("value = 1\n")
    table.write_text(source.replace("{\n", '{\n    "other": "diminuendo.models.other",\n', 1))
    try:
        assert {stage: code.code_digest(stage, copied, kinds=("conformer",)) for stage in TRAININGS} == before
        assert code.code_digest("prune", copied) != everything
        of_both = code.modules_of("prune", copied, kinds=("conformer", "other"))
        assert "diminuendo.models.other.family" in of_both
        assert "diminuendo.models.other.onnx_writer" not in code.training_modules_of("prune", copied)
    finally:
        table.write_text(source)
        shutil.rmtree(package)


def test_a_commit_that_has_no_such_family_has_other_code_and_is_no_error(tmp_path):
    """Commits from before the family are searched for the code that made a model of it."""
    sources(
        tmp_path,
        {
            "diminuendo/models/families.py": 'FAMILIES: dict[str, str] = {"old": "diminuendo.models.old"}\n',
            "diminuendo/models/old/family.py": "x = 1\n",
            "stages/train_teacher.py": "x = 1\n",
        },
    )
    assert code.code_digest("train_teacher", tmp_path, kinds=["new"]) != code.code_digest("train_teacher", tmp_path)
