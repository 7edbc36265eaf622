import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diminuendo.artifact import checksum
from diminuendo.artifact.onnx_file import read_metadata, write_onnx
from diminuendo.core.errors import UserError
from diminuendo.runtime.model import AcousticModel
from tests.factories.onnx_models import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("sealed") / "model.onnx")
    write_onnx(path, onnx.load(path))
    return path


def test_a_sealed_file_is_whole_and_opens(model):
    content = model.read_bytes()
    assert checksum.stated_checksum(content) == checksum.actual_checksum(content) != checksum.UNSEALED
    assert read_metadata(onnx.load(model))["checksum"] == checksum.stated_checksum(content)
    assert not checksum.is_damaged(model)
    AcousticModel(model)


def test_sealing_again_gives_the_same_bytes(model, tmp_path):
    write_onnx(tmp_path / "again.onnx", onnx.load(model))
    assert (tmp_path / "again.onnx").read_bytes() == model.read_bytes()


@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(model, data):
    content = bytearray(model.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    stated = checksum.stated_checksum(bytes(content))
    assert stated is None or stated != checksum.actual_checksum(bytes(content))


def test_a_damaged_file_is_refused_before_it_is_parsed(model, tmp_path):
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"bad.onnx: damaged"):
        AcousticModel(tmp_path / "bad.onnx")


def test_what_cannot_be_sealed_is_refused():
    with pytest.raises(ValueError, match="found 0"):
        checksum.seal_of(b"no entry")
    entry = checksum.KEY.encode() + b"\x12\x40" + checksum.UNSEALED.encode()
    with pytest.raises(ValueError, match="found 2"):
        checksum.seal_of(entry * 2)
    with pytest.raises(ValueError, match="expected zeros"):
        checksum.seal_of(entry.replace(b"0", b"1"))
