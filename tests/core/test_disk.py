"""A full disk in one sentence, whoever says it and however."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import suppress
from pathlib import Path

import pytest

from diminuendo.core import disk
from diminuendo.core.disk import DiskFull, disk_full, full_disk_told
from diminuendo.core.errors import UserError
from diminuendo.core.files import atomic_file, fresh_folder
from tests.factories.project import ROOT

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def full(monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(10_000_000, 9_988_000, 12_000))


class Foreign(Exception):
    """As safetensors has one."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        Foreign("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError("65536 requested and 12288 written"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    ],
    ids=["system", "safetensors", "numpy", "torch"],
)
def test_every_library_is_understood(full, tmp_path, error):
    told = disk_full(error, tmp_path)
    assert isinstance(told, DiskFull) and isinstance(told, UserError)
    assert f"{disk.mount_of(tmp_path)} is full, 12.0 kB of 10.00 MB free" in str(told) and disk.ROOM in str(told)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EIO])
def test_other_errors_are_none(full, tmp_path, number):
    assert disk_full(OSError(number, "other"), tmp_path) is None
    assert disk_full(TypeError("a mistake of ours"), tmp_path) is None


def test_a_silent_library_is_believed_where_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(10**10, 0, 10**10))
    assert disk_full(RuntimeError("shapes do not fit"), tmp_path) is None


def test_the_file_and_what_it_takes_are_named(full, tmp_path):
    (tmp_path / "training.pt").write_bytes(bytes(3000))
    temporary = tmp_path / ".training.pt.0123abcd.tmp"
    told = str(disk_full(OSError(errno.ENOSPC, "No space left on device", str(temporary))))
    assert f"{tmp_path / 'training.pt'} could not be written, which takes about 3.0 kB" in told


def test_a_quota_and_a_limit_of_a_file_have_words_of_their_own(tmp_path):
    assert "whose quota is used up" in str(disk_full(OSError(errno.EDQUOT, "x"), tmp_path))
    assert "`ulimit -f`" in str(disk_full(OSError(errno.EFBIG, "x"), tmp_path))


def test_the_error_is_told_before_what_was_unfinished_is_removed(full, tmp_path):
    with pytest.raises(DiskFull), full_disk_told(tmp_path):
        raise OSError("65536 requested and 12288 written")
    with pytest.raises(ZeroDivisionError), full_disk_told(tmp_path):
        raise ZeroDivisionError


WRITE = """
import resource, sys
from pathlib import Path
from diminuendo.cli.errors import plain_errors
from diminuendo.core.files import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with plain_errors():
    write_text(Path(sys.argv[1]), "x" * 10000)
"""


def test_a_command_ends_with_one_sentence_and_leaves_the_file_as_it_was(tmp_path):
    """By a limit that every system has."""
    target = tmp_path / "page.html"
    target.write_text("whole")
    done = subprocess.run([sys.executable, "-c", WRITE, target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: the disk at ") and done.stderr.count("\n") == 1
    assert target.read_text() == "whole" and os.listdir(tmp_path) == ["page.html"]


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 64 kB; skipped where this user may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no mount here")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_real_small_disk(small_disk):
    with pytest.raises(DiskFull, match="is full") as told, full_disk_told(small_disk):
        Path(small_disk, "large").write_bytes(bytes(200_000))
    assert f"the disk at {small_disk} is full, 0 B of 65.5 kB free" in str(told.value)


def test_without_a_place_the_folder_at_hand_may_be_the_full_one(monkeypatch, small_disk):
    monkeypatch.chdir(small_disk)
    with suppress(OSError):
        Path("large").write_bytes(bytes(200_000))
    told = disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert f"the disk at {small_disk} is full, 0 B of" in str(told)


def test_a_file_is_named_by_the_name_that_it_was_to_have(tmp_path, monkeypatch):
    def fails(number, **named):
        raise OSError(number, os.strerror(number), *named.values())

    for fill in (atomic_file, fresh_folder):
        with pytest.raises(PermissionError) as caught, fill(tmp_path / "x") as temporary:
            fails(errno.EACCES, name=str(temporary))
        assert caught.value.filename == str(tmp_path / "x")
    with pytest.raises(PermissionError) as caught, fresh_folder(tmp_path / "x") as temporary:
        fails(errno.EACCES, name=str(temporary / "y"))
    assert caught.value.filename == str(tmp_path / "x" / "y")
    with pytest.raises(PermissionError) as caught, atomic_file(tmp_path / "x"):
        fails(errno.EACCES, name="other")
    assert caught.value.filename == "other"


def test_what_was_full_is_told_though_there_is_room_once_the_half_of_a_file_is_gone(tmp_path, monkeypatch):
    small = tmp_path / "small"

    def usage(place):
        is_full = any(small.glob(".*.tmp")) if Path(place).is_relative_to(small) else False
        return Usage(10_000_000, 0, 0 if is_full else 9_000_000)

    monkeypatch.setattr(disk.shutil, "disk_usage", usage)
    monkeypatch.setattr(disk, "mount_of", lambda place: small if Path(place).is_relative_to(small) else Path("/"))
    with pytest.raises(OSError) as caught, atomic_file(small / "x.onnx") as temporary:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    told = str(disk_full(caught.value))
    assert f"the disk at {small} is full, 0 B" in told and f"{small / 'x.onnx'} could not be written" in told
    with pytest.raises(Foreign) as other, fresh_folder(small / "out") as temporary:
        raise Foreign("No space left on device (os error 28)")
    assert f"the disk at {small} is full, 0 B" in str(disk_full(other.value))
