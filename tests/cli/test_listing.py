"""secateur schema, plugins and policies; and what the command line is as a program."""

from __future__ import annotations

import subprocess
import sys

import jsonschema
import pytest

import secateur
from secateur.policy import ready as policies
from secateur.policy.policy import Policy


def test_schema_prints_a_valid_json_schema(run):
    schema = run("schema").json
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "transformer-2to4" not in schema


def test_plugins_lists_names_distributions_versions_and_parts(run):
    outcome = run("plugins")
    assert "schedule: constant, one_shot" in outcome.out
    assert secateur.__version__ in outcome.out
    table = {plugin["name"]: plugin for plugin in run("plugins", "--json").json}
    assert table["torch"]["distribution"] == "secateur"
    assert table["torch"]["provides"] == ["adapter torch", "workers"]


@pytest.mark.slow
def test_plugins_shows_what_was_left_out_and_why(tmp_path):
    (tmp_path / "team_broken.py").write_text("1 / 0")
    info = tmp_path / "team_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: team-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[secateur]\nbroken = team_broken\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['secateur', 'plugins']"
    code += "; from secateur.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "left out    ZeroDivisionError" in done.stdout
    [warning] = done.stderr.splitlines()
    assert warning.startswith("secateur: warning: plugin 'broken' of team-broken 1.0 was left out")


def test_policies_lists_every_ready_policy_with_its_comment(run):
    text = run("policies").out
    for name in policies.names():
        assert name in text
        assert " ".join(policies.about(name).split()) in " ".join(text.split())
    assert [each["name"] for each in run("policies", "--json").json] == list(policies.names())


def test_a_ready_policy_is_printed_whole_as_a_start(run, tmp_path):
    (tmp_path / "mine.toml").write_text(run("policies", "rnn-80").out)
    assert Policy.load(tmp_path / "mine.toml") == Policy.load("rnn-80")
    assert run("policies", "rnn-81").code == 1


def test_version(run):
    assert run("--version").out == f"secateur {secateur.__version__}\n"


@pytest.mark.slow
def test_the_library_itself_never_imports_typer_or_rich():
    code = "import sys, numpy, secateur; secateur.prune({'w': numpy.ones((2, 2))}, "
    code += "{'schedule': {'kind': 'one_shot', 'final_sparsity': 0.5}}); "
    code += "sys.exit(bool({'typer', 'rich', 'click'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["plan", "prune", "inspect", "diff", "schema", "plugins",
                                     "policies", "report"])  # fmt: skip
def test_every_command_has_help(run, command):
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert "Usage: secateur" in outcome.out
