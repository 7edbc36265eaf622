import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.core.files import sha256_of
from diminuendo.raw import digests as module
from diminuendo.raw.digests import MISSING, NOT_A_FILE, UNREADABLE, Digests


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Files count as settled at once, so that no test waits."""
    monkeypatch.setattr(module, "SETTLED_NANOSECONDS", -1)


def read_again(kept, path):
    """The digest, and whether the file was read for it."""
    with Digests(kept) as digests:
        return digests.of(path), bool(digests.read)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    return path


@pytest.fixture
def kept(tmp_path, file):
    path = tmp_path / "work/kept.json"
    assert read_again(path, file) == (sha256_of(file), True)
    return path


def test_an_unchanged_file_is_not_read_again(kept, file):
    assert read_again(kept, file) == (sha256_of(file), False)


def rewrite_with_its_times(path):
    before = path.stat()
    path.write_bytes(b"SOUND")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


def replace_with_its_times(path):
    other, before = path.with_name("other"), path.stat()
    other.write_bytes(b"SOUND")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def rewrite_through_another_name(path):
    path.with_name("other").hardlink_to(path)
    rewrite_with_its_times(path.with_name("other"))


def link_elsewhere(path):
    path.with_name("other").write_bytes(b"SOUND")
    path.unlink()
    path.symlink_to("other")


@pytest.mark.parametrize(
    "change", [rewrite_with_its_times, replace_with_its_times, rewrite_through_another_name, link_elsewhere]
)
def test_every_change_is_noticed(kept, file, change):
    change(file)
    assert read_again(kept, file) == (sha256_of(file), True)
    assert file.read_bytes() == b"SOUND"


def test_a_file_changed_a_moment_ago_is_read_again(tmp_path, file, monkeypatch):
    """It may be changed within the same tick of the clock."""
    monkeypatch.setattr(module, "SETTLED_NANOSECONDS", 3600 * 10**9)
    for _ in range(2):
        assert read_again(tmp_path / "kept.json", file) == (sha256_of(file), True)


def test_what_is_no_regular_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with Digests(tmp_path / "kept.json") as digests:
        found = {name: digests.of(tmp_path / name) for name in ("pipe", "folder", "zero", "loop", "none", "a" * 300)}
    assert list(found.values()) == [NOT_A_FILE] * 3 + [MISSING] * 3
    assert digests.of("a\0b") == digests.of("\ud800") == MISSING


def test_a_file_that_becomes_a_pipe_between_the_two_looks_does_not_block(file, tmp_path, monkeypatch):
    looked = os.stat(file)
    file.unlink()
    os.mkfifo(file)
    monkeypatch.setattr(module.os, "stat", lambda path: looked)
    with Digests(tmp_path / "kept.json") as digests:
        assert digests.of(file) == NOT_A_FILE


def test_a_file_that_may_not_be_read_is_told_and_not_kept(file, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "open", refuse)
        assert read_again(tmp_path / "kept.json", file)[0] == UNREADABLE
    assert read_again(tmp_path / "kept.json", file) == (sha256_of(file), True)


def test_an_interruption_loses_no_digest(kept, file, tmp_path):
    other = tmp_path / "b.wav"
    other.write_bytes(b"more")
    with pytest.raises(KeyboardInterrupt), Digests(kept) as digests:
        digests.of(other)
        raise KeyboardInterrupt
    assert read_again(kept, file) == (sha256_of(file), False)


def test_files_not_asked_for_are_forgotten(kept, file, tmp_path):
    with Digests(kept):
        pass
    assert read_again(kept, file) == (sha256_of(file), True)


@settings(max_examples=30)  # each costs files
@given(
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        )
        .map(module.json.dumps)
        .map(str.encode),
    )
)
def test_whatever_stands_in_the_kept_file_only_costs_time(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("kept")
    (folder / "a.wav").write_bytes(b"sound")
    (folder / "kept.json").write_bytes(content)
    begin = time.monotonic()
    assert read_again(folder / "kept.json", folder / "a.wav")[0] == sha256_of(folder / "a.wav")
    assert time.monotonic() - begin < 5
