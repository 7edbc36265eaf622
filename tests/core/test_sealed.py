from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diminuendo.core.sealed import read_sealed, sealed_file, write_sealed

CONTENT = bytes(range(256)) * 3


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), data=st.data())
def test_any_flipped_bit_and_any_cut_is_seen(tmp_path, content, data):
    path = tmp_path / "kept"
    write_sealed(path, content)
    stored = path.read_bytes()
    assert read_sealed(path, "no matter") == content
    place = data.draw(st.integers(0, len(stored) - 1))
    flipped = bytearray(stored)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(flipped), stored[:place], stored + b"\n", stored[place + 1 :]):
        path.write_bytes(damaged)
        assert read_sealed(path, "no matter") is None


def test_what_is_not_used_is_told_in_one_sentence(tmp_path, capsys):
    path = tmp_path / "kept"
    assert read_sealed(path, "training begins anew") is None and capsys.readouterr().err == ""
    path.write_bytes(b"")
    assert read_sealed(path, "training begins anew") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {path} does not match its own digest") and line.endswith("training begins anew")
    assert read_sealed(tmp_path, "it is made again") is None
    assert f"{tmp_path} cannot be read (Is a directory)" in capsys.readouterr().err


def test_both_ways_of_writing_give_the_same_bytes(tmp_path):
    write_sealed(tmp_path / "a", CONTENT)
    with sealed_file(tmp_path / "b") as temporary:
        temporary.write_bytes(CONTENT)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_writer_that_fails_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "kept"
    write_sealed(path, CONTENT)

    def fail(temporary: Path):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), sealed_file(path) as temporary:
        fail(temporary)
    assert read_sealed(path, "no matter") == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
