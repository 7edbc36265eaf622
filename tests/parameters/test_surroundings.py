"""What ``diminuendo check`` and the pipeline say of a checkpoint before anything runs: all of it at once."""

import json
import pickle

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file

from diminuendo.cli import main
from diminuendo.compression.registry import FAMILY_SECTIONS
from diminuendo.pretrained.checkpoint import opened
from tests.factories import transformer  # noqa: F401  registers the family
from tests.factories.audio import ROOT, write_manifest
from tests.factories.checkpoint import change, write_checkpoint, write_weights
from tests.factories.minute import minute_params
from tests.factories.transformer import pretrained
from tests.factories.whisper_text import write_text_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LEARNING = {"from": "teacher", "losses": {"ctc": 1.0}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkpoint of 8 kHz with its own head, in a working directory."""
    opened.cache_clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech/a.wav").write_bytes(b"a check decodes no audio")
    for split in ("train", "dev", "test"):
        line = {"audio_filepath": "a.wav", "text": "ab", "speaker": split, "gender": "f", "accent": "hills"}
        write_manifest(tmp_path / f"speech/{split}.jsonl", [line])
    return write_checkpoint(tmp_path / "checkpoints/tiny")


def check(**sections):
    """Exit status, output and errors of the command for a family whose teacher is the checkpoint."""
    raw = json.loads(json.dumps(minute_params()))
    raw["data"] |= {"source": "manifest", "path": "speech", "collected": "speech", "sample_rate": 8000}
    raw["frontend"]["high_hz"] = 3800.0
    raw["text"]["units"] = "checkpoint"
    raw |= {section: {} for section in ("label", *FAMILY_SECTIONS)}
    raw["teacher"] = {"pretrained": {"path": "checkpoints/tiny"}}
    raw["ship"] |= {"member": "teacher"}
    for name, section in sections.items():
        raw[name] = {**raw[name], **section} if name in ("data", "text", "training", "ship") else section
    with open("params.yaml", "w") as file:
        yaml.safe_dump(json.loads(json.dumps(raw)), file)
    result = CliRunner().invoke(main, ["check"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def problems(**sections):
    """The lines of what is wrong."""
    status, out, err = check(**sections)
    assert status == 1 and out == "", out
    head, *lines = err.splitlines()
    assert head == f"error: params.yaml: {len(lines)} problem(s), nothing was run:", err
    return [line.strip() for line in lines]


def test_what_the_folder_does_not_say_of_audio_is_remarked_upon(folder, monkeypatch):
    heard = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    record_of = pretrained.record_of  # of a family that knows what is usual
    monkeypatch.setattr(pretrained, "record_of", lambda config, said, size: record_of(config, said or heard, size))
    status, _, err = check()
    assert status == 0, err
    assert "note: teacher.pretrained: tiny says nothing of how audio is heard (no preprocessor_config.json)" in err


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


def test_what_is_wrong_in_the_file_does_not_hide_what_is_wrong_with_the_checkpoint(folder):
    change(folder / "config.json", architectures=["TinyTransformerModel"])
    found = problems(
        data={"sample_rate": 16000},
        compress_architecture={"short": LEARNING | {"remove_layers": {"count": 2}}},
        prune={"slim": LEARNING | {"structured": {"heads": 0.5}, "training": {"frozen_layers": 5}}},
    )
    assert len(found) == 4
    assert "compress_architecture.short.remove_layers.count: 2 of the 2 layers of teacher" in found[0]
    assert found[1] == "prune.slim.training.frozen_layers: 5, and slim has 2 layers; give fewer"
    assert found[2].startswith("data.sample_rate: 16000 Hz")
    assert found[3].startswith(
        "teacher.head: checkpoints/tiny: has no CTC head (TinyTransformerModel); give teacher.head"
    )


@pytest.mark.parametrize(
    ("name", "head", "path"),
    [("transformer.encoder.blocks.0.mlp.fc1.weight", "own", "pretrained"), ("lm_head.bias", "own", "head")],
)
def test_weights_that_do_not_fit_their_description_are_known_before_anything_runs(folder, name, head, path):
    tensors = load_file(folder / "model.safetensors")
    write_weights(folder, {**tensors, name: torch.zeros(5)})
    (found,) = problems(teacher={"pretrained": {"path": "checkpoints/tiny"}, "head": head})
    assert found.startswith(f"teacher.{path}: checkpoints/tiny: ") and name.split(".", 1)[1] in found


def test_a_path_that_no_file_can_have_is_said_with_all_else(folder):
    found = problems(teacher={"pretrained": {"path": "x" * 260}}, data={"path": "nowhere"})
    assert len(found) == 2 and "nothing there" in found[1]


def test_a_bundle_that_does_not_exist_is_not_waited_for(folder):
    (found,) = problems(teacher={"pretrained": {"bundle": "WAV2VEC3"}})
    assert found.startswith("teacher.pretrained.bundle: torchaudio.pipelines has no 'WAV2VEC3'; there are: ")


def test_a_students_checkpoint_is_looked_at_as_the_teachers_is(folder, tmp_path):
    small = write_checkpoint(tmp_path / "checkpoints/small", num_hidden_layers=1)
    student = {"from": "teacher", "pretrained": {"path": "checkpoints/small"}, "losses": {"ctc": 0.5, "kl": 1.0}}
    status, out, _ = check(distill={"small": student})
    assert status == 0 and "└─ small  distil into small" in out
    layers = student | {"training": {"frozen_layers": 2}}
    assert problems(distill={"small": layers}) == [
        "distill.small.training.frozen_layers: 2, and small has 1 layers; give fewer"
    ]
    below = LEARNING | {"from": "small", "remove_layers": {"count": 1}}
    (found,) = problems(distill={"small": student}, compress_architecture={"less": below})
    assert "compress_architecture.less.remove_layers.count: 1 of the 1 layers of small" in found
    mapped = student | {"teacher_layers": [0, 1], "losses": {"ctc": 0.5, "hidden": 1.0}}
    (found,) = problems(distill={"small": mapped})
    assert found.endswith("teacher_layers: [0, 1]; give one for each of the 1 layers")
    change(small / "preprocessor_config.json", sampling_rate=16000)
    (found,) = problems(distill={"small": student})
    assert found.startswith("distill.small.pretrained: small hears 16000 Hz, and data.sample_rate is 8000 Hz, which")
    (small / "config.json").unlink()
    found = problems(distill={"small": student}, data={"sample_rate": "much"})  # nor does that hide it
    assert any(line.startswith("distill.small.pretrained: checkpoints/small") for line in found)


def test_a_student_of_another_kind_cannot_start_from_its_parents_layers(folder):
    own = {"layers": 1, "width": 8, "heads": 2, "feed_forward": 8, "conv_kernel": 5, "subsampling": 2}
    own |= {"subsampling_channels": 0, "dropout": 0.0}
    student = {"from": "teacher", "architecture": own, "losses": {"ctc": 1.0, "sequence": 0.5}}
    (found,) = problems(distill={"small": student})
    assert found.startswith("distill.small.initialise: teacher; teacher is of kind ")
    assert found.endswith("small of kind conformer, which share no layers; give initialise: random")
    assert check(distill={"small": student | {"initialise": "random"}})[0] == 0


def test_a_students_checkpoint_that_can_be_fetched_is_a_note(folder):
    student = {"from": "teacher", "pretrained": {"bundle": "WAV2VEC2_BASE"}, "losses": {"ctc": 0.5, "kl": 1.0}}
    status, _, err = check(distill={"small": student})
    assert (
        status == 0 and "note: distill.small.pretrained: torchaudio.pipelines.WAV2VEC2_BASE has not been fetched" in err
    )


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


def test_a_checkpoint_that_is_not_there_is_a_problem(folder):
    (found,) = problems(teacher={"pretrained": {"path": "checkpoints/other"}})
    assert found.startswith("teacher.pretrained: checkpoints/other: nothing there")


def test_a_checkpoint_that_dvc_has_is_brought_by_dvc(folder):
    folder.rename(folder.with_name("away"))
    folder.with_name("tiny.dvc").write_text("outs: []\n")
    (found,) = problems()
    assert found == "teacher.pretrained.path: checkpoints/tiny is not here; `dvc pull checkpoints/tiny.dvc` brings it"


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


def test_a_pickle_is_a_problem_and_is_not_loaded(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    (found,) = problems()
    assert found.startswith("teacher.pretrained: checkpoints/tiny/pytorch_model.bin: pickles are not read")


def test_an_unknown_type_is_a_problem(folder):
    change(folder / "config.json", model_type="parrot")
    (found,) = problems()
    assert "teacher.pretrained: checkpoints/tiny/config.json: model_type 'parrot' is not known" in found


def test_weights_that_are_cut_off_are_found_before_anything_runs(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (found,) = problems()
    assert "model.safetensors: not a whole safetensors file" in found


def test_a_tokenizer_that_does_not_fit_is_found_before_anything_runs(folder):
    change(folder / "vocab.json", zz=40)
    (found,) = problems()
    assert found.startswith("teacher.head: checkpoints/tiny/vocab.json: does not fit the head")


@pytest.mark.parametrize(
    "pretrained", [{"hub": "someone/small", "revision": COMMIT}, {"bundle": "WAV2VEC2_ASR_BASE_960H"}]
)
def test_what_has_not_been_fetched_yet_is_a_note_and_nothing_is_fetched(folder, monkeypatch, pretrained):
    from huggingface_hub import constants

    def fetched(*_arguments, **_named):
        raise AssertionError("a check fetches nothing")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder.parent / "hub"))
    monkeypatch.setattr("socket.socket.connect", fetched)
    copy = LEARNING | {"architecture": {"kind": "parent", "layers": 100}}
    status, out, err = check(teacher={"pretrained": pretrained}, distill={"copy": copy})
    assert status == 0 and "is valid" in out
    assert err.startswith("note: teacher.pretrained: ") and err.count("\n") == 1
    assert "has not been fetched yet, so it was not checked; the pipeline fetches it" in err


def test_a_commit_that_was_fetched_is_checked_as_a_folder_is(folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder.parent / "hub"))
    place = folder.parent / "hub/models--someone--small/snapshots" / COMMIT
    write_checkpoint(place, sample_rate=16000)
    (found,) = problems(teacher={"pretrained": {"hub": "someone/small", "revision": COMMIT}})
    assert found.startswith("data.sample_rate: 8000 Hz, and someone/small hears 16000 Hz")
    (place / "model.safetensors").unlink()
    opened.cache_clear()
    status, _, err = check(teacher={"pretrained": {"hub": "someone/small", "revision": COMMIT}})
    assert status == 0 and "someone/small was fetched in part" in err


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
