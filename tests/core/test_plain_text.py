"""Text from outside, where it is shown: control sequences, markup and passwords."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.core.plain_text import echo, in_markdown, one_line, visible, without_credentials, without_secrets

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-Q"


@pytest.mark.parametrize(
    "address",
    [
        f"https://ann:{SECRET}@host/x",
        f"https://ann:p@{SECRET}@host:5000",
        f"https://ann:p/@{SECRET}@host",
        f"https://ann:p#?{SECRET}@host",
        f"https://{SECRET}@host",
        f"postgresql+psycopg2://ann:{SECRET}@db/mlflow",
        f"http://host/?password={SECRET}",
        f"http://host/a?user=ann&api_token={SECRET}#top",
        f"mysql://host/db?ssl=1;PASSWD={SECRET}",
        f"connection to 'host' failed: host=h user=u password={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"Authorization: Token {SECRET}",
        f"{{'X-Api-Key': '{SECRET}'}}",
        f"could not connect: host=h password='a {SECRET}'",
        f'{{"user": "ann", "password": "a {SECRET}"}}',
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Dsa%3BPWD%3D{SECRET}%3B",
        f"mssql+pyodbc:///?odbc_connect=DRIVER=X;UID=sa;PWD={{a {SECRET}}}",
        f"MLFLOW_TRACKING_PASSWORD={SECRET}",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"azure://c?connection_string=AccountKey={SECRET};x",
        f"http://host/#access_token={SECRET}",
        f"http://host/?Access%20Token={SECRET}",
        f"there is no file 'https:/ann:{SECRET}@host/a.wav'",
    ],
)
def test_no_password_is_left_in_a_message(address):
    assert SECRET not in without_secrets(f"MLflow: {address}, it did not answer")


def test_a_password_that_a_message_quotes_alone_is_hidden(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://ann:{SECRET}%21@host")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-of-ann")
    assert without_secrets(f"no user for {SECRET}! and token-of-ann") == "no user for … and …"


@pytest.mark.parametrize("before", ["p ", "'", '"', "<", "80/", "#", "?"])
def test_the_password_of_the_own_address_is_hidden_whatever_is_in_it(before, monkeypatch):
    address = f"https://ann:{before}{SECRET}@host/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert SECRET not in without_secrets(f"{address}: it did not answer")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////home/a:bcdefg@b/mlflow.db")
    assert without_secrets("/home/a:bcdefg@b/x") == "/home/a:bcdefg@b/x"


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/a@b/mlflow.db",
        "file:///home/a@b/mlartifacts",
        "https://host:5000/#/experiments/1?view=a@b",
        "https://github.com/one/two@v1",
        "ann@host says: name=x, not y",
        "data/a.jsonl:3: not a JSON object in UTF-8 (the key 'text' is there twice)",
        '{"token": "ab", "text": "secret: a word"}',
        "C:/a:b/c@d",
    ],
)
def test_what_is_no_password_stays(text):
    assert without_secrets(text) == text


def test_an_address_to_keep_has_neither_user_nor_query():
    assert without_credentials(f"https://ann:p@{SECRET}@host:5000/mlflow?token={SECRET}") == "https://host:5000/mlflow"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_no_text_controls_a_terminal(text):
    shown = one_line(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]", shown)
    shown.encode()
    assert visible(visible(text)) == visible(text)


def test_letters_of_every_script_stay_as_they_are():
    text = "İstanbul 你好 नमस्ते \u200fשלום می\u200cخواهم 👩\u200d🚀\n\tend"
    assert visible(text) == text


def test_json_means_the_same_after_it_is_shown():
    value = {"name": "\x1b[2J\x9b31m\u202e"}
    assert json.loads(visible(json.dumps(value, ensure_ascii=False))) == value


def test_a_control_sequence_is_printed_as_letters(capsys):
    echo("a\x1b]0;title\x07b\ud800")
    echo("c\rd", err=True, nl=False)
    assert capsys.readouterr() == ("a\\u001b]0;title\\u0007b\\ud800\n", "c\\u000dd")


def test_markdown_shows_markup_as_text():
    text = "<script>alert(1)</script> | ![a](javascript:b) [a][b] `c` &lt; \\|\nd"
    shown = in_markdown(text)
    assert not set("<>|`\\\n") & set(shown) and "](" not in shown and "][" not in shown
    assert in_markdown("8.0 [7.0, 9.0]") == "8.0 [7.0, 9.0]"
    assert "&lt;script&gt;" in shown and "&amp;lt;" in shown


def test_commands_print_through_one_function():
    """Whatever a command prints may have come from a file of others."""
    printing = re.compile(r"click\.s?echo\(|^ .*(?<![\w.])print\(|xit\(f|sys\.std(out|err)\.write\(")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("diminuendo/cli", "diminuendo/tracking", "diminuendo/provenance", "diminuendo/gate", "flows")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if printing.search(line)
    ]
    assert found == []
