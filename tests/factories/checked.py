"""``diminuendo check`` in the working directory, and what it finds wrong; of a family whose teacher is a checkpoint."""

import json

import yaml
from click.testing import CliRunner

from diminuendo.cli import main
from diminuendo.compression.registry import FAMILY_SECTIONS
from tests.factories.minute import minute_params


def check(**sections):
    """Exit status, output and errors of the command for a family whose teacher is the checkpoint."""
    raw = json.loads(json.dumps(minute_params()))
    raw["data"] |= {"source": "manifest", "path": "speech", "collected": "speech", "sample_rate": 8000}
    raw["frontend"]["high_hz"] = 3800.0
    raw["text"]["units"] = "checkpoint"
    raw |= {section: {} for section in ("label", *FAMILY_SECTIONS)}
    raw["teacher"] = {"pretrained": {"path": "checkpoints/tiny"}}
    raw["ship"] |= {"member": "teacher"}
    for name, section in sections.items():
        raw[name] = {**raw[name], **section} if name in ("data", "text", "training", "ship") else section
    return outcome(raw)


def outcome(raw):
    """The same of a whole parameter file."""
    with open("params.yaml", "w") as file:
        yaml.safe_dump(json.loads(json.dumps(raw)), file)
    result = CliRunner().invoke(main, ["check"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def problems(**sections):
    """The lines of what is wrong."""
    return lines_of(*check(**sections))


def lines_of(status, out, err):
    """The problems in an outcome."""
    assert status == 1 and out == "", out
    head, *lines = err.splitlines()
    assert head == f"error: params.yaml: {len(lines)} problem(s), nothing was run:", err
    return [line.strip() for line in lines]
