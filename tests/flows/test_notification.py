import pytest
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.core.errors import UserError
from diminuendo.parameters.webhook import webhook_problem
from flows.retraining.notification import notify
from flows.retraining.run import checked_params
from tests.factories.project import ROOT


@pytest.fixture
def say(monkeypatch, webhook):
    monkeypatch.setenv("DIMINUENDO_WEBHOOK", webhook.url)
    warnings = []

    def send(blocks=(), **facts):
        notify("Retraining: Refused", "the champion stays", facts, blocks, warnings.append, pause=0.01)
        return warnings

    return send


def test_a_webhook_gets_the_facts_and_a_text_to_show(say, webhook):
    assert say(outcome="Refused") == []
    assert webhook.messages == [{"text": "Retraining: Refused\nthe champion stays", "outcome": "Refused"}]


def test_a_server_that_stumbles_is_asked_again(say, webhook):
    webhook.answers = [500, 429]
    assert say() == [] and len(webhook.messages) == 1


def test_what_cannot_be_told_is_a_warning_without_the_secret(say, webhook):
    webhook.answers = [500, 500, 500, 200]
    (warning,) = say()
    assert "127.0.0.1" in warning and "500" in warning and "secret-path" not in warning
    assert not webhook.messages and webhook.answers == [200]


def test_a_refusal_is_not_repeated(say, webhook):
    webhook.answers = [404]
    assert "404" in say()[0] and not webhook.messages and not webhook.answers


def test_without_an_address_nothing_is_sent(say, monkeypatch, webhook):
    monkeypatch.delenv("DIMINUENDO_WEBHOOK")
    assert say() == [] and not webhook.messages


@pytest.mark.parametrize(
    "address",
    ["http://[::1", "file:///etc/hostname", "data:text/plain,x", "https://", "http://h:99999/x", "hook", "http://a b/",
     "http://h\r\nX: y/", "ftp://host/x", "http://" + "a" * 70 + ".b/", "http://h/ü"],
)  # fmt: skip
def test_an_address_that_cannot_be_posted_to_is_refused_before_anything_and_never_raises_after(
    address, say, monkeypatch, webhook
):
    monkeypatch.setenv("DIMINUENDO_WEBHOOK", address)
    problem = webhook_problem()
    assert problem.startswith("DIMINUENDO_WEBHOOK: expected https://HOST") and "\n" not in problem
    assert say() == [f"no notification to the webhook: {problem}"]


@pytest.mark.parametrize("address", [None, "", "https://hooks.example.org/services/T0/B1", "http://user:pw@[::1]:80/x"])
def test_an_address_that_can_be_posted_to_is_no_problem(address, monkeypatch):
    monkeypatch.delenv("DIMINUENDO_WEBHOOK", raising=False)
    if address is not None:
        monkeypatch.setenv("DIMINUENDO_WEBHOOK", address)
    assert webhook_problem() is None


def test_a_redirected_message_is_not_delivered(say, webhook):
    webhook.answers = [302]
    assert "302" in say()[0] and not webhook.messages


def test_retraining_does_not_begin_with_an_address_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DIMINUENDO_WEBHOOK", "file:///tmp/x")
    with pytest.raises(UserError, match="DIMINUENDO_WEBHOOK"):
        checked_params()
    done = CliRunner().invoke(main, ["check"])
    assert done.exit_code == 1 and "DIMINUENDO_WEBHOOK" in done.stderr
