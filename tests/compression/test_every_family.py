"""The same test of every technique for every family of models: Conformer, and one that exists in the tests alone."""

import ast
import dataclasses
import json
import re

import numpy as np
import onnx
import pytest
import torch

from diminuendo.artifact.history import HISTORY, SUMMARY
from diminuendo.artifact.onnx_file import MODEL
from diminuendo.artifact.weight_graph import WeightGraph
from diminuendo.compression.architecture.config import LowRankConfig, RemoveLayersConfig
from diminuendo.compression.architecture.layer_removal import remove_layers
from diminuendo.compression.architecture.low_rank import factorise
from diminuendo.compression.distillation.config import DistillConfig
from diminuendo.compression.distillation.initialise import initialise_from_teacher
from diminuendo.compression.member import Member
from diminuendo.compression.pruning.budget import choose_within
from diminuendo.compression.pruning.config import MagnitudeConfig, StructuredConfig
from diminuendo.compression.pruning.cost import latency_costs, parameter_costs
from diminuendo.compression.pruning.importance import measure_importance
from diminuendo.compression.pruning.magnitude import MagnitudePruner
from diminuendo.compression.pruning.stored_sparsity import stored_sparsity
from diminuendo.compression.pruning.structured import choose, keep_units, summary_of
from diminuendo.compression.quantization.config import NOMINAL_BITS, BudgetConfig, QuantizeConfig
from diminuendo.compression.quantization.mixed import choose as choose_bits
from diminuendo.compression.quantization.post_training import quantize_post_training
from diminuendo.compression.quantization.quantized_file import write_quantized
from diminuendo.compression.quantization.weight_writer import store_by_choice
from diminuendo.compression.registry import config_of, writing_of
from diminuendo.core.errors import UserError
from diminuendo.export.check import check_parity
from diminuendo.export.trained import deliver
from diminuendo.export.write import export_model
from diminuendo.losses.config import LossConfig
from diminuendo.models.conformer.config import ArchitectureConfig
from diminuendo.models.factorised import linear_shape
from diminuendo.models.families import FAMILIES
from diminuendo.models.model import parameter_count
from diminuendo.models.parent_architecture import ParentArchitecture
from diminuendo.models.store import load_model, save_model
from diminuendo.training.trainer import train
from tests.factories import transformer
from tests.factories.fastconformer import tiny_fastconformer
from tests.factories.jobs import job_of, make_member
from tests.factories.models import ToneCorpus, speech_batch, tiny_model, tiny_training
from tests.factories.project import ROOT
from tests.factories.transformer.config import TransformerConfig
from tests.factories.transformer.module import tiny_transformer
from tests.factories.wav2vec2 import tiny_large, tiny_wav2vec2, tiny_wavlm
from tests.factories.whisper import tiny_whisper

# Of a Conformer's parameters and modules: those that are words of the field besides are left out.
NAMES = re.compile(r"out\.weight|subsampling(\.out)?|feed_forward_[12]|depthwise|batch_norm|pointwise")
TOKENS = ["<blank>", *"▁abcd"]
MODELS = {
    "conformer": lambda layers=2, **keys: tiny_model(layers, **keys),
    "fastconformer": tiny_fastconformer,
    "transformer": lambda layers=2, **keys: tiny_transformer(*[{}] * layers, **keys),
    "wav2vec2": tiny_wav2vec2,
    "wav2vec2-large": tiny_large,
    "wavlm": tiny_wavlm,
    "whisper-encoder": tiny_whisper,
}


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


@pytest.fixture
def corpus():
    return ToneCorpus()


def outputs(model):
    with torch.inference_mode():
        return model(*speech_batch())[0]


def without_effect(model, group):
    """Make what a group's module adds a constant: its reader's bias."""
    reader = model.get_submodule(group.reader)
    with torch.no_grad():
        (reader.down if hasattr(reader, "down") else reader).weight.zero_()


def save_with_file(folder, model, name="teacher"):
    deliver(folder, model, name=name, tokens=TOKENS, lineage={}, history=[{"step": 1}], summary={})


def test_the_structure_is_that_of_the_weights(make):
    model = make()
    structure, state = model.structure(), model.state_dict()
    assert len(structure.layers) == 2 and {key[0] for key in structure.groups} == {0, 1}
    for group in structure.groups.values():
        assert {linear_shape(model.get_submodule(path))[1] for path in group.writers} == {group.rows}
        assert linear_shape(model.get_submodule(group.reader))[0] == group.rows
        assert group.path.startswith(structure.layers[group.key[0]] + ".")
        for paths, length in ((group.between, group.rows), (group.tables, group.count)):
            for path in paths:
                tensors = [t for name, t in state.items() if name.startswith(f"{path}.") and t.dim()]
                assert tensors and {len(t) for t in tensors} == {length}
        assert group.bias_sites[-1].group is None, "there is no place for the bias of the first module"
    for path in structure.linears:
        assert model.get_submodule(path).weight.dim() == 2
    assert linear_shape(model.get_submodule(structure.output))[:2] == (structure.width, model.record.vocabulary)


def test_stored_and_shipped_it_says_the_same(make, tmp_path):
    model = make()
    save_with_file(tmp_path, model)
    stored = load_model(tmp_path).model
    assert stored.record == model.record and torch.equal(outputs(stored), outputs(model))
    assert check_parity(tmp_path) < 1e-3


def test_a_file_of_an_unknown_kind_is_refused(make, tmp_path):
    save_model(tmp_path, make(), TOKENS)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace(f'"{make().record.kind}"', '"no-such-kind"'))
    with pytest.raises(UserError, match=r"config.json: models of kind 'no-such-kind' are not known; there are: .*conf"):
        load_model(tmp_path)


def test_units_that_add_nothing_can_go_and_a_bias_that_is_left_moves(make):
    for key, group in make().structure().groups.items():
        model = make()
        without_effect(model, group)
        kept = {k: torch.arange(g.count) for k, g in model.structure().groups.items()}
        for left in (1, 0):
            smaller = keep_units(model, kept | {key: torch.arange(left)})
            torch.testing.assert_close(outputs(smaller), outputs(model), atol=1e-4, rtol=1e-4)
            assert parameter_count(smaller) < parameter_count(model)
        assert key not in smaller.structure().groups
        assert summary_of(model, smaller)["removed_modules"] == [group.path]


def test_importance_finds_the_units_that_do_nothing(make, corpus):
    model = make()
    key, group = next(iter(model.structure().groups.items()))
    with torch.no_grad():
        model.get_submodule(group.reader).weight[:, : group.width] = 0  # of the first unit
    scores = measure_importance(model, corpus, tiny_training(), LossConfig(), seed=0, batches=2)
    assert set(scores) == set(model.structure().groups)
    assert scores[key][0] == 0 and (scores[key][1:] > 0).all()


def test_shares_of_a_kind_that_is_not_there_are_refused(make):
    structure = make().structure()
    kinds = {group.kind for group in structure.groups.values()}
    for kind in {"heads", "feed_forward", "convolution"} - kinds:
        with pytest.raises(UserError, match=f"structured.{kind}: the model has no such units; it has: feed_forward, h"):
            choose(structure, {}, StructuredConfig(**{kind: 0.5}))


def test_costs_are_those_of_the_smaller_model(make, corpus):
    model = make()
    costs = parameter_costs(model)
    scores = measure_importance(model, corpus, tiny_training(), LossConfig(), seed=0, batches=2)
    kept = choose_within(scores, costs, 0.7 * costs.whole)
    smaller = keep_units(model, kept)
    assert costs.of({key: len(units) for key, units in kept.items()}) == parameter_count(smaller)
    assert 0.67 * parameter_count(model) < parameter_count(smaller) <= 0.7 * parameter_count(model)
    assert latency_costs(smaller, 1.0).whole < latency_costs(model, 1.0).whole


def test_factors_of_almost_all_energy_change_almost_nothing(make, corpus, tmp_path):
    model = make()
    with torch.no_grad():  # of rank 2
        for path in model.structure().linears:
            weight = model.get_submodule(path).weight
            u, s, v = torch.linalg.svd(weight, full_matrices=False)
            weight.copy_(u[:, :2] * s[:2] @ v[:2])
    smaller, summary = factorise(model, corpus, LowRankConfig(energy=0.99999), batch_seconds=1.0, seed=0)
    assert summary["ranks"] and set(summary["ranks"].values()) <= {1, 2}
    assert parameter_count(smaller) < parameter_count(model)
    torch.testing.assert_close(outputs(smaller), outputs(model), atol=1e-2, rtol=1e-2)
    save_with_file(tmp_path, smaller)
    assert load_model(tmp_path).model.record == smaller.record


def test_the_layer_that_does_nothing_is_removed(make, corpus):
    model = make(3)
    for group in model.structure().groups.values():
        if group.key[0] == 1:
            without_effect(model, group)
            reader = model.get_submodule(group.reader)
            torch.nn.init.zeros_(reader.bias)
    smaller, summary = remove_layers(model, corpus, RemoveLayersConfig(count=1), batch_seconds=1.0, seed=0)
    missed = summary["divergence_without_layer"][0]
    assert missed["1"] == min(missed.values())
    assert summary["removed"] == [1] and len(smaller.structure().layers) == 2
    third = model.structure().groups[2, next(reversed(model.structure().modules))]
    second = third.reader.replace(model.structure().layers[2], smaller.structure().layers[1])
    assert torch.equal(smaller.get_submodule(second).weight, model.get_submodule(third.reader).weight)


def test_zeros_of_gradual_pruning_are_in_the_file(make, corpus, tmp_path):
    model = make()
    hooks = MagnitudePruner(MagnitudeConfig(sparsity=0.5), model).hooks
    train(model, corpus, tiny_training(), LossConfig(), seed=1, work=tmp_path, hooks=hooks, keep="last")
    save_with_file(tmp_path, model)
    assert stored_sparsity(tmp_path / MODEL)["sparsity"] == pytest.approx(0.5, abs=0.02)


def test_a_student_begins_with_its_teachers_units_and_learns_from_its_states(make, corpus, tmp_path):
    teacher, student = make(3), make(2, seed=7)
    heaviest = next(iter(teacher.structure().groups.values()))
    filled = initialise_from_teacher(student, teacher, [0, 2])
    assert set(filled) == set(student.state_dict())
    reader = student.get_submodule(heaviest.reader)
    assert torch.equal(reader.weight, teacher.get_submodule(heaviest.reader).weight)
    losses = LossConfig(ctc=0.5, kl=1.0, hidden=0.5, intermediate=0.1, sequence=0.1)
    history = train(student, corpus, tiny_training(epochs=16), losses, seed=1, work=tmp_path, teacher=teacher)
    steps = [row for row in history if "loss" in row]
    assert {"loss_ctc", "loss_kl", "loss_hidden", "loss_intermediate", "loss_sequence"} <= set(steps[0])
    assert steps[-1]["loss"] < steps[0]["loss"]


@pytest.mark.parametrize("scheme", ["fp16", "int8_dynamic", "int8_static", "int8_weight", "int4_weight"])
def test_post_training_quantization(make, corpus, scheme, tmp_path):
    model = make(width=32)
    export_model(tmp_path / MODEL, model, name="teacher", tokens=TOKENS, lineage={})
    audio = [corpus.audio(utterance) for utterance in corpus.train[:4]]
    quantized = quantize_post_training(tmp_path / MODEL, QuantizeConfig(**{"from": "teacher"}, scheme=scheme), audio)
    parent = onnx.load(tmp_path / MODEL)
    summary = write_quantized(
        tmp_path / "q.onnx", quantized, parent, name="q", lineage={}, nominal=NOMINAL_BITS[scheme]
    )
    assert summary["bytes"] < parent.ByteSize() and summary["log_prob_difference"] < 0.2
    if scheme == "int4_weight":  # a frontend that is learned is stored like all the rest
        fixed = set() if list(model.frontend.parameters()) else {"frontend"}
        assert {group["group"] for group in summary["left_out"]} >= {"output layer"} | fixed


def test_bits_are_chosen_by_what_they_harm_within_the_budget(make, corpus, tmp_path):
    model = make(width=32)
    export_model(tmp_path / MODEL, model, name="teacher", tokens=TOKENS, lineage={})
    parent = onnx.load(tmp_path / MODEL)
    config = QuantizeConfig(**{"from": "teacher"}, scheme="mixed", group_size=16, budget=BudgetConfig(bits=5.0))
    audio = [corpus.audio(utterance) for utterance in corpus.train[:4]]
    choice, swept, more = choose_bits(parent, config, audio, tmp_path, name="mixed", lineage={})
    assert {item.weight for item in swept} == {product.weight for product in WeightGraph(parent).products()}
    assert 4.0 < more["mean_bits"] <= 5.0 and len(set(more["bits"].values())) > 1
    stored = store_by_choice(onnx.load(tmp_path / MODEL), choice)
    assert stored.ByteSize() < parent.ByteSize()


LOSSES = LossConfig(ctc=1.0, kl=1.0, hidden=0.5)
STUDENTS = {
    "conformer": ArchitectureConfig(
        layers=3,
        width=16,
        heads=2,
        head_width=4,
        feed_forward=10,
        conv_kernel=5,
        conv_channels=8,
        subsampling=2,
        subsampling_channels=3,
        dropout=0.0,
    ),
    "transformer": TransformerConfig(layers=3, width=16, heads=2, head_width=4, inner=12),
}
NARROWER = ParentArchitecture(kind="parent", layers=3, feed_forward=9)  # of families that only come pretrained
# Each from the one before: layers and ranks, units, zeros, four bits.
CHAIN = {
    "thin": ("compress_architecture", {"remove_layers": {"count": 1}, "low_rank": {"budget": 0.7}}),
    "slim": ("prune", {"structured": {"heads": 0.5, "feed_forward": 0.3, "batches": 2}}),
    "sparse": ("prune", {"magnitude": {"sparsity": 0.3}}),
    "four": ("quantize", {"scheme": "int4_weight", "group_size": 16, "quantization_aware": True}),
}


@pytest.fixture(scope="module", params=MODELS)
def chain(request, tmp_path_factory):
    """Folder of the teacher and of every member of the chain, and the schedules that they were trained by."""
    models = tmp_path_factory.mktemp("chain") / "models"
    (models / "teacher").mkdir(parents=True)
    teacher = MODELS[request.param](4, width=16)
    train(teacher, ToneCorpus(), tiny_training(), LossConfig(), seed=0, work=models.parent)
    save_with_file(models / "teacher", teacher)
    # The section of a family that exists in the tests alone is no member of the union of sections.
    student = DistillConfig.model_construct(
        parent="teacher",
        architecture=STUDENTS.get(request.param, NARROWER),
        initialise="teacher",
        teacher_layers=(0, 1, 3),
        losses=LOSSES,
    )
    schedules, parent = {"student": make_member("distill", models, "student", student)}, "student"
    for name, (section, keys) in CHAIN.items():
        settings = config_of(section).model_validate({"from": parent, "losses": LOSSES.model_dump(), **keys})
        schedules[name] = make_member(section, models, name, settings)
        parent = name
    return models, schedules


def test_a_chain_of_every_technique(chain):
    models, schedules = chain
    teacher, sparse, four = (load_model(models / name).model for name in ("teacher", "sparse", "four"))
    assert len(four.structure().layers) == 2 and parameter_count(four) < 0.5 * parameter_count(teacher)
    assert schedules["student"].figures["initialised_tensors"] == schedules["student"].figures["tensors"]
    summaries = {name: json.loads((models / name / SUMMARY).read_text()) for name in schedules}
    assert summaries["thin"]["low_rank"]["ranks"] and summaries["slim"]["parameters"] == parameter_count(sparse)
    assert summaries["sparse"]["sparsity"] == pytest.approx(0.3, abs=0.03)
    assert summaries["four"]["parameters"] == sum(np.prod(t.dims) for t in trained_tensors(models / "sparse" / MODEL))
    for name in schedules:
        assert check_parity(models / name) < 1e-3
        steps = (models / name / HISTORY).read_text().splitlines()
        assert "loss_hidden" in steps[0] and len(steps) > 2
    assert not torch.allclose(outputs(four), outputs(sparse), atol=1e-3)


def test_every_member_of_the_chain_follows_the_layers_that_it_came_from(chain):
    models, schedules = chain
    kept = json.loads((models / "thin" / SUMMARY).read_text())["remove_layers"]["kept"]
    expected = tuple((0, 1, 3)[layer] for layer in kept)
    assert load_model(models / "teacher").teacher_layers is None
    assert load_model(models / "student").teacher_layers == (0, 1, 3)
    assert {name: load_model(models / name).teacher_layers for name in CHAIN} == dict.fromkeys(CHAIN, expected)
    assert schedules["thin"].phases[0].layer_map({"remove_layers": {"kept": kept}}) == expected
    assert [schedules[name].layer_map for name in ("slim", "sparse", "four")] == [expected] * 3


@pytest.mark.parametrize("scheme", ["fp16", "int8_weight"])
def test_a_member_of_the_chain_is_quantized_after_its_training(chain, scheme):
    models, _ = chain
    assert make_member("quantize", models, scheme, QuantizeConfig(**{"from": "sparse"}, scheme=scheme)) is None
    assert {path.name for path in (models / scheme).iterdir()} == {MODEL, SUMMARY}
    assert (models / scheme / MODEL).stat().st_size < (models / "sparse" / MODEL).stat().st_size
    assert json.loads((models / scheme / SUMMARY).read_text())["log_prob_difference"] < 0.2


@pytest.mark.parametrize("name", ["student", *CHAIN])
def test_the_trained_weights_of_a_member_are_read_back_from_its_files(chain, name, tmp_path):
    models, _ = chain
    section = CHAIN[name][0] if name in CHAIN else "distill"
    parent = ["student", *CHAIN][max(0, [*CHAIN].index(name))] if name in CHAIN else "teacher"
    job = dataclasses.replace(job_of(models, name, Member(**{"from": parent})), work=tmp_path)
    model = writing_of(section).load(job, models / name)
    if name == "four":  # off its grid, before it was rounded
        assert not torch.equal(outputs(model), outputs(load_model(models / name).model))
        assert model.record == load_model(models / "sparse").model.record
    else:
        assert torch.equal(outputs(model), outputs(load_model(models / name).model))


def trained_tensors(path):
    graph = WeightGraph(onnx.load(path))
    return [graph.initializers[name] for name in graph.parameters()]


def test_nothing_outside_of_its_package_knows_a_family():
    """Neither the modules of a family nor the names of its parameters, but for the table and the architectures."""
    names = ("models/families.py", "models/architecture.py")
    registries = {ROOT / "diminuendo" / name for name in names}
    registries |= set((ROOT / "diminuendo/models").glob("conformer_*.py"))  # what families of Conformers share
    homes = [path for path in (ROOT / "diminuendo/models").iterdir() if (path / "module.py").exists()]
    own = {f"diminuendo.models.{home.name}" for home in homes}
    assert own == set(FAMILIES.values()) - {transformer.__name__, "diminuendo.models.whisper.seq2seq"}  # within whisper
    found = []
    for path in sorted(p for top in ("diminuendo", "stages", "flows") for p in (ROOT / top).rglob("*.py")):
        if path in registries or any(home in path.parents for home in homes):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            named = getattr(node, "module", None) or (node.value if isinstance(node, ast.Constant) else None)
            if f"{named}.".startswith(tuple(f"diminuendo.models.{home.name}." for home in homes)):
                found.append(f"{path.relative_to(ROOT)}: {named}")
            if isinstance(node, ast.Constant) and NAMES.fullmatch(str(node.value)):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}")
    assert found == []
    assert transformer.KIND not in "".join(p.read_text() for p in (ROOT / "diminuendo").rglob("*.py"))
