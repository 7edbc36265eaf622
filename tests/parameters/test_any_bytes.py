"""Whatever stands in a parameter file: valid parameters, or one message for the user, and soon."""

from __future__ import annotations

import os
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.core.errors import UserError
from diminuendo.parameters import load_params
from tests.factories.project import ROOT

REAL = [(ROOT / name).read_bytes() for name in ("params.yaml", "params/fsdd.yaml", "params/english.yaml")]
PIECES = [b"{", b"[", b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system ", b"!!binary ", b"1e999", b".nan", b"-",
          b"\x00", b"\xff", b"\t", b": ", b"'", b'"\\ud800"', b"2001-99-99", b"9" * 5000, b"0x", b"? ", b"|\n",
          b"---\n", b"null", b"true", b"~", b"%YAML 9\n", b"\xef\xbb\xbf", b"\r", b"1:60:60", b"!!set {a}"]  # fmt: skip
# Nine to the power of twenty values, if every alias is followed.
LAUGHS = b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 118)
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("params") / "params.yaml"


def check(path, content: bytes | None = None) -> str | None:
    """The message, None for a valid file; fails for anything else, and for what takes long."""
    if content is not None:
        path.write_bytes(content)
    begin = time.monotonic()
    try:
        load_params(path)
    except UserError as error:
        message = str(error)
    else:
        message = None
    assert time.monotonic() - begin < 10
    if message is not None:
        assert str(path) in message and message.splitlines()[0].strip() and "Traceback" not in message
        message.encode()
    return message


@settings(max_examples=150, deadline=None, derandomize=True)
@given(content=st.binary(max_size=200))
def test_random_bytes_are_one_message(file, content):
    assert check(file, content) is not None


@settings(max_examples=50, deadline=None, derandomize=True)
@given(text=st.text(alphabet="ab:-{}[]&*!|>'\"%@`,#?\n \t0", max_size=100))
def test_random_yaml_is_one_message(file, text):
    assert check(file, text.encode()) is not None


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A real file after one to three slips: bytes, lines or values that are changed, doubled, moved or lost."""
    for _ in range(rng.randint(1, 3)):
        kind, at = rng.randrange(7), rng.randrange(len(content) + 1)
        lines = content.split(b"\n")
        line = rng.randrange(len(lines))
        if kind == 0:
            content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        elif kind == 1:
            content = content[:at] + rng.choice(PIECES) + content[at:]
        elif kind == 2:
            content = content[:at] + content[at + rng.randrange(1, 40) :]
        elif kind == 3:
            lines[line] = b" " * rng.randrange(5) + lines[line]
            content = b"\n".join(lines)
        elif kind == 4:
            lines.insert(rng.randrange(len(lines)), lines[line])
            content = b"\n".join(lines)
        elif kind == 5 and b": " in lines[line]:
            key = lines[line].partition(b": ")[0]
            value = rng.choice([b"-1", b"1e300", b"10000000000000000000000", b"[1, 2]", b"{a: 1}", b"yes", b"''", b"0",
                                b"null", b"2.5", b"text", b"\"\\u001b[31m\"", *PIECES])  # fmt: skip
            lines[line] = key + b": " + value
            content = b"\n".join(lines)
        else:
            content = content[:at]
    return content


def test_real_files_with_slips_are_valid_or_one_message(file):
    rng = random.Random(14)
    found = [check(file, mutated(rng.choice(REAL), rng)) for _ in range(120)]
    assert sum(message is not None for message in found) > 60


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("utf-16", "seed: 1\n".encode("utf-16"), "the byte 0xff is not UTF-8"),
        ("latin-1", "seed: 1 # ü\n".encode("latin-1"), "the byte 0xfc is not UTF-8"),
        ("deep list", b"seed: " + b"[" * 5000, "in each other"),
        ("deeper list", b"seed: " + b"[" * 400_000, "in each other"),
        ("deep keys", b"".join(b" " * depth + b"a:\n" for depth in range(100)), "in each other"),
        ("merge key", b"a: &x {b: 1}\nseed:\n  <<: *x\n", "merge keys"),
        ("laughs", LAUGHS, "values, or aliases"),
        ("a circle", b"seed: &a [*a]\n", "recursive node"),
        ("a date", b"seed: 2001-99-99\n", "cannot be read"),
        ("a day", b"seed: 2001-01-01\n", "YAML's kind date"),
        ("an object", b"seed: !!python/object/apply:os.system ['touch /tmp/x']\n", "not valid YAML"),
        ("digits", b"seed: " + b"9" * 5000, "cannot be read"),
        ("many keys", b"".join(b"k%d: 1\n" % n for n in range(60_000)), "values, or aliases"),
        ("long", b"#" * 2_000_000, "more than 1,000,000 bytes"),
        ("an escape", b'seed: "\\e[31m"\n', "a control character"),
        ("a list", b"- 1\n", "found list"),
        ("nothing", b"", "found nothing; begin with a copy"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)  # fmt: skip
def test_a_file_that_is_no_parameters_is_one_sentence(file, name, content, said):
    message = check(file, content)
    assert said in message and message.count("\n") <= 2, message


def test_a_pipe_a_device_and_a_folder_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path / "missing.yaml", "/dev/zero"):
        assert "cannot be read" in check(path)
    assert "a folder, expected a parameter file" in check(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        load_params("params\0.yaml")
