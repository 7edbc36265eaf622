"""What ``diminuendo check`` and the pipeline say of a family before anything runs: all of it at once."""

import pytest
from click.testing import CliRunner

from diminuendo.cli import main
from tests.factories.audio import ROOT
from tests.factories.checked import check, problems
from tests.factories.checkpoint import change
from tests.factories.minute import minute_params
from tests.factories.whisper_text import write_text_checkpoint

LEARNING = {"from": "teacher", "losses": {"ctc": 1.0}}


def test_a_file_elsewhere_is_named_as_it_was_given(folder, tmp_path):
    check(text={"lowercase": True})
    (tmp_path / "params.yaml").rename(tmp_path / "mine.yaml")
    (folder / "config.json").unlink()
    result = CliRunner().invoke(main, ["check", "mine.yaml"])
    assert result.exit_code == 1 and result.stderr.startswith("error: mine.yaml: 1 problem(s)"), result.stderr


def test_characters_and_a_checkpoint_need_no_number_of_tokens_and_sentencepiece_does(folder):
    status, _, err = check(text={"vocab_size": None})
    assert status == 0, err
    _, _, err = check(text={"vocab_size": None, "units": "sentencepiece"})
    assert "text: vocab_size: missing; say how many sentencepiece units" in err


def test_a_family_that_fits_its_checkpoint_is_valid_and_says_where_it_begins(folder):
    status, out, err = check()
    assert (status, err) == (0, "") and "train_teacher from tiny" in out


def test_everything_that_is_wrong_is_said_at_once(folder):
    """Folders, sample rate, head and sizes have nothing to do with each other."""
    found = problems(
        data={"path": "nowhere", "sample_rate": 16000},
        ship={"member": "nobody"},
        teacher={"pretrained": {"path": "checkpoints/tiny"}, "head": "own"},
        distill={"copy": LEARNING | {"architecture": {"kind": "parent", "heads": 3}}},
    )
    assert len(found) == 4
    assert found[0].startswith("data.path: there is no folder nowhere")
    assert found[1] == "data.sample_rate: 16000 Hz, and tiny hears 8000 Hz; set it to 8000, and audio is resampled"
    assert found[2].startswith("distill.copy.architecture.heads: 3, and the parent has at most 2")
    assert found[3].startswith("ship.member: there is no member 'nobody'")


def test_a_table_in_place_of_a_folder_of_manifests_is_to_be_imported(folder):
    (folder.parent / "table.csv").write_text("path,text\n")
    (told,) = problems(data={"path": "checkpoints/table.csv"})
    assert told.startswith("data.path: checkpoints/table.csv is a file, expected the folder of manifests")
    assert "`diminuendo import csv checkpoints/table.csv`" in told


def test_a_folder_without_any_manifest_is_to_be_imported(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (told,) = problems(data={"path": "empty"})
    assert told.startswith("data.path: empty: train.jsonl, dev.jsonl, test.jsonl missing")
    assert "`diminuendo import` writes them" in told and "Move the lines" not in told


def test_a_path_that_no_file_can_have_is_said_with_all_else(folder):
    found = problems(teacher={"pretrained": {"path": "x" * 260}}, data={"path": "nowhere"})
    assert len(found) == 2 and "nothing there" in found[1]


def test_layers_that_stay_as_they_are_are_counted(folder):
    teacher = {"pretrained": {"path": "checkpoints/tiny"}, "fine_tune": True}
    assert check(teacher=teacher | {"training": {"frozen_layers": 2}})[0] == 0
    (found,) = problems(teacher=teacher | {"training": {"frozen_layers": 3}})
    assert found == "teacher.training.frozen_layers: 3, and teacher has 2 layers; give fewer"
    (found,) = problems(teacher=teacher, training={"frozen_layers": 3})
    assert found.startswith("teacher.training.frozen_layers: 3")


def test_units_of_another_vocabulary_than_the_heads_are_refused(folder):
    teacher = {"pretrained": {"path": "checkpoints/tiny"}, "head": "ctc"}
    assert check(teacher=teacher, text={"units": "characters"})[0] == 0
    assert any("text.units: checkpoint" in line for line in problems(teacher=teacher))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"layers": 3}, "architecture.layers: 3, and the parent has 2; give fewer"),
        ({"width": 9}, "architecture.width: 9, and the parent has 8; give fewer"),
        ({"feed_forward": 13}, "architecture.feed_forward: 13, and the parent has at most 12"),
        ({"convolution": 4}, "architecture.convolution: 4, and the parent has none"),
    ],
)
def test_a_copy_is_not_larger_than_its_parent(folder, sizes, expected):
    (found,) = problems(distill={"copy": LEARNING | {"architecture": {"kind": "parent", **sizes}}})
    assert found.startswith(f"distill.copy.{expected}")


def test_a_copy_of_a_copy_is_measured_against_that(folder):
    first = LEARNING | {"architecture": {"kind": "parent", "feed_forward": 6}}
    again = LEARNING | {"from": "first", "architecture": {"kind": "parent", "feed_forward": 8}}
    (found,) = problems(distill={"first": first, "again": again})
    assert found.startswith("distill.again.architecture.feed_forward: 8, and the parent has at most 6")
    of_unknown = {"slim": LEARNING | {"structured": {"heads": 0.5}}}
    again["from"] = "slim"  # pruning decides how many are left
    assert check(prune=of_unknown, distill={"first": first, "again": again})[0] == 0


def test_a_copy_of_a_model_that_is_trained_from_scratch_is_measured_too(folder):
    raw = minute_params()
    copy = LEARNING | {"architecture": {"kind": "parent", "heads": 3}}
    (found,) = problems(teacher=raw["teacher"], text={"units": "characters"}, distill={"copy": copy})
    assert found.startswith("distill.copy.architecture.heads: 3, and the parent has at most 2")


@pytest.mark.parametrize("scheme", ["int8_dynamic", "int8_static"])
def test_schemes_that_see_no_loop_are_refused_for_a_whole_whisper(folder, tmp_path, scheme):
    write_text_checkpoint(tmp_path / "checkpoints/whisper")
    (found,) = problems(
        data={"sample_rate": 16000},
        teacher={"pretrained": {"path": "checkpoints/whisper"}},
        quantize={"small": {"from": "teacher", "scheme": scheme}},
    )
    assert found.startswith(
        f"quantize.small.scheme: {scheme} is of models without a loop; for whisper with its decoder"
    )


def test_a_pipeline_that_could_not_run_is_not_planned(folder, monkeypatch):
    from diminuendo.core.errors import UserError
    from flows import planning

    check()  # writes params.yaml
    monkeypatch.setattr(planning, "check_pipelines", lambda: (_ for _ in ()).throw(LookupError("planned")))
    with pytest.raises(LookupError, match="planned"):
        planning.plan_run()
    change(folder / "config.json", model_type="parrot")
    with pytest.raises(UserError, match=r"nothing was run:\n  teacher.pretrained: .*model_type 'parrot' is not known"):
        planning.plan_run()


def test_the_files_of_this_repository_need_no_checkpoint(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert CliRunner().invoke(main, ["check"]).exit_code == 0


ENGLISH = {"from": "teacher", "vocabulary": {"characters": "latin", "languages": ["en"]}}


def test_a_whole_whisper_may_be_left_fewer_tokens_and_quantized(folder, tmp_path):
    write_text_checkpoint(tmp_path / "checkpoints" / "whisper")
    family = {
        "teacher": {"pretrained": {"path": "checkpoints/whisper"}},
        "data": {"sample_rate": 16000},
        "compress_architecture": {"english": ENGLISH},
        "quantize": {"small": {"from": "english", "scheme": "int8_weight"}},
    }
    status, _, err = check(**family)
    assert status == 0, err
    fewer = {"from": "english", "remove_layers": {"decoder_count": 1}, "losses": {"ctc": 0.0, "kl": 1.0}}
    status, _, err = check(**{**family, "compress_architecture": {"english": ENGLISH, "shallow": fewer}})
    assert status == 0, err


def test_what_a_parent_does_not_have_cannot_be_taken_from_it(folder, tmp_path):
    by_teacher = {"losses": {"ctc": 0.0, "kl": 1.0}}
    fewer = {"from": "english", "remove_layers": {"decoder_count": 1}, **by_teacher}
    none = {"from": "shallow", "remove_layers": {"decoder_count": 1}, **by_teacher}
    slim = {"from": "shallow", "structured": {"convolution": 0.5, "cross_heads": 0.5, "batches": 1}, **by_teacher}
    sections = {"compress_architecture": {"english": ENGLISH, "shallow": fewer, "none": none}, "prune": {"slim": slim}}
    layers, units = problems(**whole(tmp_path, **sections))
    assert layers == (
        "compress_architecture.none.remove_layers.decoder_count: 1 of the 1 layers of the decoder of shallow; at least "
        "one must stay"
    )
    assert units == (
        "prune.slim.structured.convolution: shallow has no such units; it has: cross_heads, decoder_feed_forward, "
        "decoder_heads, feed_forward, heads"
    )


def test_models_without_a_decoder_have_no_layers_of_one(folder, tmp_path):
    fewer = {"from": "teacher", "remove_layers": {"decoder_count": 1}}
    (told,) = problems(compress_architecture={"shallow": fewer})
    assert told.startswith("compress_architecture.shallow.remove_layers.decoder_count: teacher has no decoder")


def test_a_whole_whisper_may_be_factorised_and_quantized_while_it_is_trained(folder, tmp_path):
    by_teacher = {"losses": {"ctc": 0.0, "kl": 1.0}}
    low = {"from": "teacher", "low_rank": {"budget": 0.5, "decoder": True}}
    aware = {"from": "low", "scheme": "int4_weight", "packed": True, "quantization_aware": True}
    family = {
        "compress_architecture": {"low": {**low, **by_teacher}, "as-it-is": {**low, "fine_tune": False}},
        "quantize": {"aware": {**aware, **by_teacher}},
    }
    status, _, err = check(**whole(tmp_path, **family))
    assert status == 0, err
    strange = {"low": {**low, "losses": {"sequence": 1.0}}}
    (told,) = problems(**whole(tmp_path, compress_architecture=strange))
    assert told.startswith("compress_architecture.low.losses.sequence: a copy of whisper with its decoder does not")


def test_what_has_no_decoder_is_not_factorised_there(folder):
    (told,) = problems(compress_architecture={"low": {"from": "teacher", "low_rank": {"budget": 0.5, "decoder": True}}})
    assert told.startswith("compress_architecture.low.low_rank.decoder: teacher has no decoder; leave it out")


def test_other_models_have_no_table_of_tokens_to_trim(folder, tmp_path):
    (told,) = problems(compress_architecture={"english": ENGLISH})
    assert told.startswith("compress_architecture.english.vocabulary: teacher does not write token after token")


def whole(tmp_path, **sections):
    """A family whose teacher is a whole Whisper."""
    if not (tmp_path / "checkpoints/whisper").exists():
        write_text_checkpoint(tmp_path / "checkpoints/whisper")
    return {"teacher": {"pretrained": {"path": "checkpoints/whisper"}}, "data": {"sample_rate": 16000}, **sections}


def test_a_language_that_the_parent_does_not_know_is_told_before_anything_runs(folder, tmp_path):
    trimmed = {
        "english": ENGLISH,
        "french": {"from": "teacher", "vocabulary": {"most": 5, "languages": ["en", "fr"]}},
        "ascii": {"from": "english", "vocabulary": {"characters": "ascii"}},
        "german": {"from": "ascii", "vocabulary": {"most": 5, "languages": ["de"]}},
    }
    assert problems(**whole(tmp_path, compress_architecture=trimmed)) == [
        "compress_architecture.french.vocabulary.languages: fr; teacher knows en, de",
        "compress_architecture.german.vocabulary.languages: de; ascii knows en",
    ]


@pytest.mark.parametrize("term", ["sequence", "intermediate"])
def test_terms_by_which_a_copy_of_a_whole_whisper_cannot_learn(folder, tmp_path, term):
    copy = {"from": "teacher", "architecture": {"kind": "parent", "layers": 1}, "losses": {"ctc": 0.5, term: 0.5}}
    (told,) = problems(**whole(tmp_path, distill={"short": copy}))
    assert told.startswith(f"distill.short.losses.{term}: a copy of whisper with its decoder does not learn by it")


def test_a_whole_whisper_may_be_pruned_in_structure_by_parameters_or_shares(folder, tmp_path):
    taught = {"from": "teacher", "losses": {"ctc": 0.0, "kl": 1.0}}
    budget, shares = {"parameters": 0.9}, {"heads": 0.2, "cross_heads": 0.2}
    family = whole(tmp_path, prune={"a": {**taught, "structured": budget}, "b": {**taught, "structured": shares}})
    status, _, err = check(**family)
    assert status == 0, err
    wrong = {
        "slow": {**taught, "structured": {"latency": 0.9}},
        "zeros": {**taught, "magnitude": {"sparsity": 0.5}},
        "strange": {"from": "teacher", "losses": {"ctc": 0.0, "sequence": 1.0}, "structured": budget},
    }
    slow, strange, zeros = problems(**whole(tmp_path, prune=wrong))
    assert slow.startswith("prune.slow.structured.latency: time is modelled of what hears")
    assert zeros.startswith("prune.zeros: whisper with its decoder is left fewer tokens")
    assert strange.startswith("prune.strange.losses.sequence: a copy of whisper with its decoder does not learn by it")


@pytest.mark.parametrize("own", [True, False])
def test_audio_without_a_transcript_is_learned_with_the_texts_and_not_besides(folder, own):
    student = {"from": "teacher", "labels": "heard", "architecture": {"kind": "parent", "layers": 1}}
    given = {"training": {"unlabelled": True}}
    (told,) = problems(
        label={"heard": {"from": "teacher"}},
        distill_on_labels={"taught": {**student, **(given if own else {})}},
        **({} if own else given),
    )
    assert told.startswith("distill_on_labels.taught.training.unlabelled: audio without a transcript is learned with")
