"""The page on the command line shows what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from secateur.cli import whole_app

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "command-line.md").read_text()
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown() -> list[tuple[str, str]]:
    """Return the commands of the page, each with the output that is shown."""
    text = "".join(CONSOLE.findall(PAGE))
    parts = re.split(r"^\$ secateur (.*)$", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


@pytest.fixture
def _files(tmp_path):
    for name, text in re.findall(r"^```toml\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(f"# {name}\n{text}")


@pytest.mark.usefixtures("_files")
def test_every_command_of_the_page_prints_what_is_shown(run):
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(code, "command-line.md", "exec"), {})  # noqa: S102 our own page
    for command, output in shown():
        outcome = run(*shlex.split(command, comments=True))
        assert outcome.code == command.endswith("# exit code 1"), outcome.err
        if output:
            assert outcome.out.strip() == output, command


def test_every_command_is_on_the_page():
    commands = {command.split()[0] for command, _ in shown()}
    assert commands == {each.name for each in whole_app().registered_commands}
