"""From ``teacher.pretrained`` to a folder: paths, commits of the hub, bundles; what is not at hand is one sentence."""

from fnmatch import fnmatch

import pytest
from pydantic import ValidationError

from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.core.errors import UserError
from diminuendo.pretrained.bundle import folder_of_bundle
from diminuendo.pretrained.checkpoint import Checkpoint
from diminuendo.pretrained.source import at_hand, locate
from tests.factories.checkpoint import write_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = PretrainedConfig(hub="someone/small", revision=COMMIT)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache, and no network; gives what puts a checkpoint there."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    place = tmp_path / "hub/models--someone--small/snapshots" / COMMIT
    return lambda: write_checkpoint(place)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "give exactly one of path, hub and bundle, found none"),
        ({"path": "a", "bundle": "B"}, "found path and bundle"),
        ({"hub": "someone/small"}, "revision: expected the commit of someone/small, 40 hexadecimal digits"),
        ({"hub": "someone/small", "revision": "main"}, "found main; the hub shows it beside the files"),
        ({"hub": "someone/small", "revision": COMMIT[:12]}, "40 hexadecimal digits"),
        ({"hub": "someone/small", "revision": COMMIT.upper()}, "40 hexadecimal digits"),
        ({"hub": "small", "revision": COMMIT}, "hub: expected owner/name, found 'small'"),
        ({"hub": "a/b/c", "revision": COMMIT}, "expected owner/name"),
        ({"hub": "../b", "revision": COMMIT}, "expected owner/name"),
        ({"hub": "someone/", "revision": COMMIT}, "expected owner/name"),
        ({"hub": "https://huggingface.co/someone/small", "revision": COMMIT}, "expected owner/name"),
        ({"path": "a", "revision": COMMIT}, "revision: belongs to hub"),
        ({"path": ""}, "path: expected a folder, found ''"),
        ({"path": "checkpoints/.."}, "path: expected a folder, found 'checkpoints/..'"),
        ({"path": "~/small"}, "path: ~ stands for no folder here; write '~/small' in full"),
        ({"bundle": "../somewhere"}, "bundle: expected a name of torchaudio.pipelines"),
    ],
)
def test_one_source_is_given_and_it_cannot_change(keys, expected):
    with pytest.raises(ValidationError, match="1 validation error") as error:
        PretrainedConfig(**keys)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"path": "checkpoints/small"}, "small"),
        ({"path": "/somewhere/else/small/"}, "small"),
        ({"path": "checkpoints/./small/."}, "small"),
        ({"path": "small"}, "small"),
        ({"hub": "someone/small", "revision": COMMIT}, "someone/small"),
        ({"bundle": "HUBERT_BASE"}, "torchaudio.pipelines.HUBERT_BASE"),
    ],
)
def test_a_source_has_a_name_that_holds_on_every_machine(keys, expected):
    assert PretrainedConfig(**keys).source == expected


def test_a_folder_is_seen_from_where_the_process_works(tmp_path, monkeypatch):
    write_checkpoint(tmp_path / "checkpoints/small")
    config = PretrainedConfig(path="checkpoints/small")
    assert at_hand(config) is None and at_hand(config, tmp_path) == tmp_path / "checkpoints/small"
    monkeypatch.chdir(tmp_path)
    assert Checkpoint(config).layers == 2 and at_hand(config).is_dir()


def test_a_commit_that_was_fetched_is_taken_from_the_hubs_cache(hub):
    folder = hub()
    assert locate(HUB) == locate(HUB, fetch=False) == at_hand(HUB) == folder
    facts = Checkpoint(HUB).facts()
    assert (facts["source"], facts["revision"]) == ("someone/small", COMMIT) and "model.safetensors" in facts["files"]


@pytest.mark.parametrize("fetch", [True, False])
def test_a_commit_that_is_not_here_says_what_to_do_without_a_network(hub, fetch):
    assert at_hand(HUB) is None
    with pytest.raises(UserError) as error:
        locate(HUB, fetch)
    said = str(error.value)
    assert said.startswith(f"someone/small at {COMMIT[:12]}: ") and "\n" not in said and len(said) < 400
    assert f"hf download someone/small --revision {COMMIT} --local-dir FOLDER" in said


def test_a_commit_that_was_fetched_in_part_is_not_taken(hub):
    (hub() / "model.safetensors").unlink()
    with pytest.raises(UserError, match=f"someone/small at {COMMIT[:12]}: "):
        locate(HUB, fetch=False)
    with pytest.raises(UserError, match=r"model\.safetensors: missing"):
        Checkpoint(HUB)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What the hub has of the commit, in place of a network; gives what sets its files."""
    import huggingface_hub

    files = []

    def fetch(local_files_only=False, allow_patterns=(), **_named):
        from huggingface_hub.errors import LocalEntryNotFoundError

        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        folder = tmp_path / "snapshot"
        folder.mkdir(exist_ok=True)
        for name in files:
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                (folder / name).write_bytes(b"{}")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda _repository, revision: list(files))
    return files


def test_a_commit_with_pickles_alone_says_so(server):
    server += ["config.json", "vocab.json", "pytorch_model.bin", "training_args.bin"]
    with pytest.raises(UserError) as error:
        locate(HUB)
    said = str(error.value)
    assert said.startswith(
        f"someone/small at {COMMIT[:12]}: its weights are a pickle (pytorch_model.bin), which is not"
    )
    assert "AutoProcessor" in said and "\n" not in said


def test_of_a_commit_what_a_model_is_made_from_is_fetched(server):
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    kept = ["config.json", "merges.txt", "model.safetensors.index.json", *shards]
    server += [*kept, "model.fp32-00001-of-00002.safetensors", "pytorch_model.bin", "adapter.deu.safetensors"]
    assert sorted(file.name for file in locate(HUB).iterdir()) == sorted(kept)


def test_another_commit_is_another_checkpoint(hub):
    hub()
    with pytest.raises(UserError, match="not on this machine"):
        locate(PretrainedConfig(hub="someone/small", revision="f" * 40), fetch=False)


def test_an_unknown_bundle_is_named_with_those_that_are_known(tmp_path):
    with pytest.raises(
        UserError, match=r"torchaudio.pipelines has no 'WAV2VEC3'; there are: .*WAV2VEC2_ASR_BASE_960H"
    ) as error:
        folder_of_bundle("WAV2VEC3", tmp_path)
    assert "MMS_FA" not in str(error.value)
    with pytest.raises(UserError, match=r"torchaudio\.pipelines has no 'SQUIM_OBJECTIVE'"):  # no recogniser
        folder_of_bundle("SQUIM_OBJECTIVE", tmp_path)
    with pytest.raises(UserError, match="MMS_FA aligns texts with audio, and knows no space between words"):
        folder_of_bundle("MMS_FA", tmp_path)


def test_a_bundle_that_is_not_here_says_so_and_is_not_fetched(tmp_path):
    with pytest.raises(UserError, match=r"pretrained\.bundle: HUBERT_BASE is not on this machine"):
        folder_of_bundle("HUBERT_BASE", tmp_path, fetch=False)
    assert not any(tmp_path.iterdir())


def test_a_bundle_that_was_made_is_taken_from_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / ".work/bundles/HUBERT_BASE")
    config = PretrainedConfig(bundle="HUBERT_BASE")
    assert Checkpoint(config, fetch=False).facts()["source"] == "torchaudio.pipelines.HUBERT_BASE"
    assert at_hand(config) == locate(config)


def test_a_bundle_without_a_network_is_one_sentence(tmp_path, monkeypatch):
    import torch

    def no_network(*_arguments, **_named):
        raise OSError("<urlopen error [Errno -2] Name or service not known>\nmore")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    with pytest.raises(UserError) as error:
        folder_of_bundle("HUBERT_BASE", tmp_path)
    said = str(error.value)
    assert said.startswith("pretrained.bundle: HUBERT_BASE cannot be fetched (") and "\n" not in said
    assert not list(tmp_path.glob("*"))
