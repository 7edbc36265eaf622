"""What is signed of a model, and everything about a signature that may be wrong."""

from __future__ import annotations

import base64
import json

import pytest

from diminuendo.core.files import sha256_of
from diminuendo.provenance.descent import read_record
from diminuendo.signing import Policy, Untrusted, check_signature, read_signature, sign, signature_path
from diminuendo.signing.beside import text_of
from diminuendo.signing.envelope import pre_authentication_encoding, seal
from diminuendo.signing.keys import make_pair, read_private
from tests.factories.shipping import write_member


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    folder = tmp_path_factory.mktemp("key")
    make_pair(folder / "private.pem", folder / "public.pem", None)
    return read_private(folder / "private.pem")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_member(tmp_path_factory.mktemp("models"), "student", "a" * 64)


@pytest.fixture(scope="module")
def text(model, key):
    return sign(model, read_record(model), key)


def test_the_envelope_is_dsse_and_the_statement_in_toto(model, key, text):
    # The example of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    envelope = json.loads(text)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "model.onnx", "digest": {"sha256": sha256_of(model)}}]
    assert statement["predicateType"] == "urn:diminuendo:lineage:2" and statement["predicate"] == read_record(model)
    (signature,) = envelope["signatures"]
    message = pre_authentication_encoding(envelope["payloadType"], base64.b64decode(envelope["payload"]))
    assert key.public.verifies(base64.b64decode(signature["sig"]), message) and signature["keyid"] == key.public.id
    assert sign(model, read_record(model), key) == text  # no time and no place is in it


def test_a_signature_holds_for_its_file_its_key_and_its_lineage_alone(model, key, text, tmp_path):
    make_pair(tmp_path / "private.pem", tmp_path / "public.pem", None)
    stranger, digest, record = read_private(tmp_path / "private.pem"), sha256_of(model), read_record(model)
    assert check_signature(text, key.public, digest, "it", record).lineage == record
    for changed, said in (
        ({"key": stranger.public}, "it: signed with another key"),
        ({"digest": "0" * 64}, "it: the signature of another file"),
        ({"lineage": {**record, "name": "teacher"}}, "it: the lineage that was signed is not the one in the file"),
    ):
        arguments = {"text": text, "key": key.public, "digest": digest, "where": "it", "lineage": record} | changed
        with pytest.raises(Untrusted, match=said):
            check_signature(**arguments)
    claimed = json.loads(text)  # the stranger's signature under the other's name
    claimed["signatures"] = json.loads(sign(model, record, stranger))["signatures"]
    claimed["signatures"][0]["keyid"] = key.public.id
    with pytest.raises(Untrusted, match="the signature does not hold"):
        check_signature(json.dumps(claimed), key.public, digest, "it")


def test_a_second_signature_and_one_without_a_key_id_are_accepted(model, key, text, tmp_path):
    make_pair(tmp_path / "private.pem", tmp_path / "public.pem", None)
    both = json.loads(text)
    both["signatures"] += json.loads(sign(model, read_record(model), read_private(tmp_path / "private.pem")))[
        "signatures"
    ]
    for envelope in (both, {**both, "signatures": both["signatures"][::-1]}):
        assert check_signature(json.dumps(envelope), key.public, sha256_of(model), "it")
    for signature in both["signatures"]:
        del signature["keyid"]
    assert check_signature(json.dumps(both), key.public, sha256_of(model), "it")


@pytest.mark.parametrize("bit", [0x01, 0x20])
def test_no_byte_of_a_signature_can_be_changed(model, key, text, bit):
    content, digest = text.encode(), sha256_of(model)
    for at in range(len(content)):
        flipped = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        with pytest.raises(Untrusted):
            check_signature(flipped.decode(), key.public, digest, "it")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "[" * 100_000, '{"payload": 1, "payloadType": 2, "signatures": 3}', "\x00", '{"a": NaN}'],
    ids=["empty", "object", "list", "null", "deep", "types", "zero", "nan"],
)
def test_what_is_no_envelope_is_one_sentence(text, key):
    with pytest.raises(Untrusted, match=r"^it: not a signature, or a damaged one \(.*\); sign the model again$"):
        check_signature(text, key.public, "0" * 64, "it")


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b"\xff", b'{"_type": 1, "predicateType": 2, "subject": []}'])
def test_another_statement_by_the_same_key_is_none_about_a_model(payload, key):
    with pytest.raises(Untrusted, match="it: signs something else than a model of diminuendo"):
        check_signature(seal(payload, key), key.public, "0" * 64, "it")


def test_repeated_and_further_keys_are_refused(text, key, model):
    kind = '"payloadType": "application/vnd.in-toto+json",'
    for changed, said in (
        (text.replace(kind, kind + kind), "a key stands there twice"),
        (text.replace(kind, kind + '"more": 1,'), "other keys than an envelope's"),
        (text.replace("in-toto", "other"), "the payload is 'application/vnd.other"),
        (text.replace('"keyid"', '"cert"'), "a signature has other keys"),
    ):
        with pytest.raises(Untrusted, match=said):
            check_signature(changed, key.public, sha256_of(model), "it")


def test_a_file_beside_the_model_that_cannot_be_a_signature(tmp_path):
    model = tmp_path / "model.onnx"
    assert read_signature(model) is None
    beside = signature_path(model)
    assert beside.name == "model.onnx.sig"
    beside.symlink_to("/dev/zero")
    with pytest.raises(Untrusted, match="not a plain file"):
        read_signature(model)
    beside.unlink()
    beside.write_bytes(b"\xff")
    with pytest.raises(Untrusted, match="not text"):
        read_signature(model)
    beside.write_bytes(b" " * ((1 << 24) + 1))
    with pytest.raises(Untrusted, match="more than 16777216 bytes"):
        text_of(beside)


def test_a_policy_admits_what_it_must(key, text, model):
    digest, record = sha256_of(model), read_record(model)
    for policy in (Policy(), Policy(key.public), Policy(key.public, required=True)):
        policy.admit(text, digest, "it", "`sign it`", record)
        with pytest.raises(Untrusted, match="another file"):
            policy.admit(text, "0" * 64, "it", "`sign it`")
        if policy.required:
            with pytest.raises(Untrusted, match=r"it: not signed, and signatures are required .* `sign it` signs it"):
                policy.admit(None, digest, "it", "`sign it`")
        else:
            policy.admit(None, digest, "it", "`sign it`")
