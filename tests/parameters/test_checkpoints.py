"""What is said of the checkpoints that a parameter file names, the teacher's and students', before anything runs."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file

from diminuendo.pretrained.checkpoint import opened
from tests.factories.checked import check, problems
from tests.factories.checkpoint import change, write_checkpoint, write_weights
from tests.factories.transformer import pretrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LEARNING = {"from": "teacher", "losses": {"ctc": 1.0}}


def test_what_the_folder_does_not_say_of_audio_is_remarked_upon(folder, monkeypatch):
    heard = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    record_of = pretrained.record_of  # of a family that knows what is usual
    monkeypatch.setattr(pretrained, "record_of", lambda config, said, size: record_of(config, said or heard, size))
    status, _, err = check()
    assert status == 0, err
    assert "note: teacher.pretrained: tiny says nothing of how audio is heard (no preprocessor_config.json)" in err


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


def test_a_checkpoint_that_is_not_there_is_a_problem(folder):
    (found,) = problems(teacher={"pretrained": {"path": "checkpoints/other"}})
    assert found.startswith("teacher.pretrained: checkpoints/other: nothing there")


def test_a_checkpoint_that_dvc_has_is_brought_by_dvc(folder):
    folder.rename(folder.with_name("away"))
    folder.with_name("tiny.dvc").write_text("outs: []\n")
    (found,) = problems()
    assert found == "teacher.pretrained.path: checkpoints/tiny is not here; `dvc pull checkpoints/tiny.dvc` brings it"


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
