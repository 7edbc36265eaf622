import pytest

from flows.retraining.notification import notify


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
