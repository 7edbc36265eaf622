"""What ``.ci/run`` demands of the tests, on machines of three kinds."""

import os
import shutil
import subprocess

import pytest

from tests.factories.project import ROOT

TOOLS = ("bash", "dirname", "timeout")


def machine(folder, **commands):
    """A machine with a few tools and these commands (name: shell script); ``make`` says what it is told to need."""
    tools = folder / "bin"
    tools.mkdir()
    for name in TOOLS:
        os.symlink(shutil.which(name), tools / name)
    scripts = {
        "make": 'echo "make $*; sclite: ${DIMINUENDO_NEEDS_SCLITE:-no}, browser: ${DIMINUENDO_NEEDS_BROWSER:-no}"',
        **commands,
    }
    for name, script in scripts.items():
        (tools / name.replace("_", "-")).write_text(f"#!{shutil.which('bash')}\n{script}\n")
        (tools / name.replace("_", "-")).chmod(0o755)
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
    return subprocess.run(
        [tools / "bash", folder / ".ci/run"], env={"PATH": str(tools)}, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize(
    ("commands", "needed"),
    [
        ({"id": "echo 0"}, False),  # no apt
        ({"id": "echo 1000", "apt_get": "exit 9"}, False),  # not root
        ({"id": "echo 0", "apt_get": "echo no route to the archive; exit 100"}, True),
        ({"id": "echo 0", "apt_get": "exit 0"}, True),
        ({"id": "echo 1000", "sctk": "exit 0", "chromium": "exit 0"}, True),
    ],
    ids=["no-apt", "no-root", "apt-fails", "apt-installs", "there-already"],
)
def test_sclite_is_done_without_only_where_it_cannot_be_had_and_a_browser_where_it_is_not(tmp_path, commands, needed):
    done = machine(tmp_path, **commands)
    sclite, browser = 1 if needed else "no", 1 if "chromium" in commands else "no"
    assert done.stdout == f"make --keep-going lint test; sclite: {sclite}, browser: {browser}\n"
    assert ("no chromium" in done.stderr) == (browser == "no")
    assert ("no route to the archive" in done.stderr) == ("no route" in str(commands))
