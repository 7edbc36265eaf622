"""The comparison on a corpus of tones: every installed tool gives a row with figures, the others say why not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.peers import onnx_tools, torch_tools
from benchmarks.peers.__main__ import chosen, main, members_in, of_frames
from benchmarks.peers.measure import Row, measure
from benchmarks.peers.peer import Peer
from benchmarks.peers.table import markdown
from diminuendo.config.evaluation import EvaluateConfig
from diminuendo.core.errors import UserError
from diminuendo.export.trained import deliver
from tests.factories.models import ToneCorpus, tiny_layer, tiny_model

EVALUATE = EvaluateConfig(bootstrap_samples=50, confidence=0.95, group_by=(), timing_utterances=2, timing_repeats=2)
PEERS = onnx_tools.peers(16) + torch_tools.peers(16)


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    layer = tiny_layer(heads=2, head_width=16, feed_forward_1=64, feed_forward_2=64, convolution=32)
    for name in ("student", "teacher"):
        (folder / name).mkdir()
        model = tiny_model((layer,), width=32, subsampling_channels=8)
        tokens = ToneCorpus().tokens
        deliver(folder / name, model, name=name, tokens=tokens, lineage={}, history=[], summary={})
    return folder


def measured(members, *peers: Peer) -> list[Row]:
    return measure(peers, members_in(members), ToneCorpus(), EVALUATE, seed=1, calibration_utterances=4, say=str)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_an_installed_tool_has_figures_or_a_reason(members, peer):
    if peer.version is None:
        pytest.skip(f"{peer.distribution} is not installed")
    teacher, _, row = measured(members, peer)
    assert (row.tool, row.version, row.settings) == (peer.distribution, peer.version, peer.settings)
    if row.problem is not None:
        assert row.problem.startswith("failed: ") and row.bytes is None
        assert peer.distribution not in ("onnxruntime", "nncf"), row.problem
        return
    assert 0 < row.bytes < 2 * teacher.bytes  # nodes and scales of a static file outweigh so small a model
    assert row.errors_interval[0] <= row.errors <= row.errors_interval[1]
    assert row.delta == pytest.approx(row.errors - teacher.errors)
    assert row.real_time_factor > 0


@pytest.mark.parametrize(
    ("named", "kept"),
    [("", ["teacher", "a", "b"]), ("b", ["teacher", "b"]), ("b, a,teacher", ["teacher", "a", "b"])],
)
def test_members_can_be_chosen_and_the_teacher_is_always_there(tmp_path, named, kept):
    members = {name: tmp_path / name for name in ("teacher", "a", "b")}
    assert list(chosen(members, named)) == kept


def test_a_member_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^--members: c is none of teacher, a$"):
        chosen({name: tmp_path for name in ("teacher", "a")}, "a,c")


def test_members_are_beside_them_and_the_teacher_is_the_measure(members):
    teacher, student = measured(members)
    assert (teacher.settings, student.settings) == ("teacher", "student")
    assert teacher.delta == 0 and teacher.times_faster == 1
    assert student.bytes == (members / "student" / "model.onnx").stat().st_size


def test_a_part_of_the_test_split_is_drawn_by_the_seed(members, monkeypatch):
    heard = []
    audio = ToneCorpus.audio
    monkeypatch.setattr(ToneCorpus, "audio", lambda self, one: heard.append(one.id) or audio(self, one))
    for _ in range(2):
        measure(
            (), members_in(members), ToneCorpus(), EVALUATE, seed=1, calibration_utterances=1, utterances=2, say=str
        )
    tested = [name for name in heard if name.startswith("test")]
    assert len(tested) == 4 and tested[:2] == tested[2:] and len(set(tested)) == 2


def test_utterances_of_some_length_alone(members, monkeypatch):
    heard = []
    audio = ToneCorpus.audio
    monkeypatch.setattr(ToneCorpus, "audio", lambda self, one: heard.append(one) or audio(self, one))
    given = {"seed": 1, "calibration_utterances": 1, "say": str}
    longest = max(one.duration for one in ToneCorpus().test)
    measure((), members_in(members), ToneCorpus(), EVALUATE, seconds=(longest, longest), **given)
    assert {one.duration for one in heard if one.id.startswith("test")} == {longest}
    with pytest.raises(UserError, match="in test no utterance is 90 to 99 s long"):
        measure((), members_in(members), ToneCorpus(), EVALUATE, seconds=(90, 99), **given)


def test_a_tool_that_is_missing_or_fails_is_named(members):
    def fails(source):
        raise ValueError("no such operator\nand a traceback")

    missing = Peer("no-such-distribution", "defaults", fails)
    broken = Peer("onnx", "defaults", fails)
    *_, one, other = measured(members, missing, broken)
    assert (one.problem, one.version) == ("not installed", "—")
    assert other.problem == "failed: ValueError: no such operator"
    table = markdown([one, other]).splitlines()
    assert len(table) == 4 and all(line.count("|") == 11 for line in table)


def test_pieces_are_of_one_length_and_hold_the_same_audio():
    pieces = onnx_tools.equal_pieces([np.arange(3.0), np.arange(3.0, 8.0), np.arange(8.0, 17.0)])
    assert [piece.size for piece in pieces] == [5, 5, 5]
    assert np.array_equal(np.concatenate(pieces), np.arange(15.0))


@pytest.mark.parametrize(("width", "group"), [(32, 32), (48, 16), (40, 16), (128, 64)])
def test_groups_are_as_large_as_the_widths_allow(tmp_path, width, group):
    layer = tiny_layer(heads=2, head_width=width, feed_forward_1=128, feed_forward_2=128, convolution=128)
    deliver(
        tmp_path / "teacher",
        tiny_model((layer,), width=width, subsampling_channels=64),
        name="teacher",
        tokens=ToneCorpus().tokens,
        lineage={},
        history=[],
        summary={},
    )
    assert onnx_tools.group_size(tmp_path / "teacher" / "model.onnx") == group
    assert any(f"groups of {group}" in peer.name for peer in of_frames(tmp_path / "teacher"))


def test_a_folder_without_a_teacher_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no teacher/model\.onnx"):
        members_in(tmp_path)


def test_the_command_says_what_is_wrong_and_ends_with_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--corpus", str(tmp_path), "--calibration-utterances", "0"])
    assert ended.value.code == 2
    assert "--calibration-utterances: 0, expected at least 1" in capsys.readouterr().err


def test_rows_can_be_written_as_json(members):
    from dataclasses import asdict

    assert json.loads(json.dumps([asdict(row) for row in measured(members)]))[0]["settings"] == "teacher"
