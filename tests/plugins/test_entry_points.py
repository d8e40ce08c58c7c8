"""Plugins that come as distributions: found, isolated, refused, disabled."""

from __future__ import annotations

import warnings

import pytest

from secateur.errors import PluginError, PluginWarning


def test_an_entry_point_registers_with_its_distribution_and_version(install, load, sine):
    install("team-sine", "sine", sine(), version="2.1")
    plugin = load().plugins["sine"]
    assert (plugin.distribution, plugin.version) == ("team-sine", "2.1")
    assert plugin.provides == ("schedule sine",)
    assert plugin.error is None


BROKEN = {
    "fails_to_import": ("import a_module_that_does_not_exist", "No module named"),
    "raises_at_import": ("1 / 0", "ZeroDivisionError"),
    "exits_at_import": ("raise SystemExit(3)", "SystemExit: 3"),
    "is_not_python": ("def", "SyntaxError"),
    "raises_in_a_hook": (
        "import secateur\n@secateur.hookimpl\ndef secateur_schedules(): raise OSError('no disk')",
        "secateur_schedules raised OSError: no disk",
    ),
    "misspells_a_hook": (
        "import secateur\n@secateur.hookimpl\ndef secateur_shedules(): return []",
        "no hook 'secateur_shedules': did you mean 'secateur_schedules'?",
    ),
    "forgets_the_mark": (
        "def secateur_schedules(): return []",
        "secateur_schedules is not marked as a hook: put @secateur.hookimpl on it",
    ),
    "has_no_hook": ("x = 1", "it has no hook: there are: secateur_adapters"),
    "misspells_an_argument": (
        "import secateur\n@secateur.hookimpl\ndef secateur_masks_updated(evnt): pass",
        "Argument(s) {'evnt'}",
    ),
    "wraps": (
        "import secateur\n@secateur.hookimpl(wrapper=True)\ndef secateur_schedules(): yield",
        "is a hook wrapper",
    ),
    "returns_no_class": (
        "import secateur\n@secateur.hookimpl\ndef secateur_patterns(): return ['stripes']",
        "secateur_patterns returned 'stripes'; wanted a subclass of Pattern",
    ),
    "returns_another_family": (
        (
            "import secateur\nfrom secateur.components.schedules import Linear\n"
            "@secateur.hookimpl\ndef secateur_patterns(): return [Linear]"
        ),
        "wanted a subclass of Pattern",
    ),
    "returns_nothing_to_go_through": (
        "import secateur\n@secateur.hookimpl\ndef secateur_patterns(): return 3",
        "secateur_patterns raised TypeError",
    ),
    "leaves_out_the_kind": (
        (
            "import secateur\nclass A(secateur.Criterion):\n  def score(self, w, c): return w\n"
            "@secateur.hookimpl\ndef secateur_criteria(): return [A]"
        ),
        'has no name; write kind = "..." in its class',
    ),
    "leaves_out_a_method": (
        (
            "import secateur\nclass A(secateur.Criterion):\n  kind = 'a'\n"
            "@secateur.hookimpl\ndef secateur_criteria(): return [A]"
        ),
        "'a' does not define: score",
    ),
    "takes_a_built_in_name": (
        (
            "import secateur\nclass A(secateur.Criterion):\n  kind = 'magnitude'\n"
            "  def score(self, w, c): return w\n"
            "@secateur.hookimpl\ndef secateur_criteria(): return [A]"
        ),
        "the criterion 'magnitude' is registered already, by plugin 'builtin' of secateur",
    ),
    "wants_newer_hooks": (
        "secateur_hook_version = 99",
        "it asks for hook version 99, and this secateur offers 1: update secateur",
    ),
    "wants_older_hooks": ("secateur_hook_version = 0", "update the plugin"),
    "has_a_version_of_no_sense": ("secateur_hook_version = '1'", "wanted an integer"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_plugin_that_is_broken_costs_one_warning_and_nothing_else(install, load, sine, fault):
    code, reason = BROKEN[fault]
    install("team-broken", "broken", code)
    install("team-sine", "sine", sine())
    with pytest.warns(PluginWarning) as caught:
        registry = load()
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "plugin 'broken' of team-broken 1.0 was left out" in message
    assert reason in message
    assert "SECATEUR_DISABLE_PLUGINS=team-broken" in message
    assert set(registry.plugins) >= {"builtin", "keras", "torch", "sine"}
    assert "broken" not in registry.plugins
    assert set(registry.components("criterion")) >= {"magnitude", "random"}
    assert [plugin.name for plugin in registry.failed] == ["broken"]


@pytest.mark.parametrize("word", ["1", "true", "True", "yes", "ON", " on "])
def test_strict_mode_raises_instead(install, load, monkeypatch, word):
    install("team-broken", "broken", "1 / 0")
    monkeypatch.setenv("SECATEUR_STRICT_PLUGINS", word)
    with pytest.raises(PluginError, match=r"plugin 'broken' of team-broken 1.0: ZeroDivisionError"):
        load()


@pytest.mark.parametrize("word", ["", "0", "false", "No", "off", " "])
def test_strict_mode_can_be_off(install, load, monkeypatch, word):
    install("team-broken", "broken", "1 / 0")
    monkeypatch.setenv("SECATEUR_STRICT_PLUGINS", word)
    with pytest.warns(PluginWarning, match="'broken' of team-broken 1.0 was left out"):
        load()


@pytest.mark.parametrize("word", ["maybe", "2", "tru", "x" * 10**5])
def test_an_unknown_word_for_strict_mode_counts_as_on_and_says_what_exists(
    install, load, monkeypatch, word
):
    install("team-broken", "broken", "1 / 0")
    monkeypatch.setenv("SECATEUR_STRICT_PLUGINS", word)
    with (
        pytest.warns(PluginWarning, match=r"counts as on; there are: 1, true, .*no, off") as caught,
        pytest.raises(PluginError),
    ):
        load()
    assert len(str(caught[0].message)) < 300


@pytest.mark.parametrize(
    "named", ["broken", "team-broken", "Team.Broken, ", "TEAM__BROKEN", "BROKEN"]
)
def test_a_disabled_plugin_is_not_even_imported(install, load, monkeypatch, named):
    install("team-broken", "broken", "1 / 0")
    monkeypatch.setenv("SECATEUR_DISABLE_PLUGINS", named)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry = load()
    assert registry.failed[0].error == "disabled by SECATEUR_DISABLE_PLUGINS"


def test_a_name_to_disable_that_no_plugin_has_costs_one_warning(install, load, monkeypatch, sine):
    install("team-sine", "sine", sine())
    monkeypatch.setenv("SECATEUR_DISABLE_PLUGINS", "team-sin, nothing, report")
    with pytest.warns(PluginWarning) as caught:
        registry = load()
    (message,) = [str(warning.message) for warning in caught]
    assert "no plugin 'team-sin': did you mean 'team-sine'?" in message
    assert "no plugin 'nothing': there are: " in message
    assert "sine" in registry.plugins
    assert [plugin.name for plugin in registry.failed] == ["report"]


def test_a_damaged_file_of_another_distribution_costs_nothing(install, load, tmp_path):
    install("team-other", "other", "")
    (tmp_path / "team_other-1.0.dist-info" / "entry_points.txt").write_bytes(b"[a]\n\xff\xfe = b")
    assert "keras" in load().plugins


def test_two_distributions_with_one_kind_are_both_named_and_neither_is_used(install, load, sine):
    install("team-a", "a", sine())
    install("team-b", "b", sine())
    with pytest.warns(PluginWarning, match=r"'b' of team-b .* by plugin 'a' of team-a 1.0"):
        registry = load()
    with pytest.raises(PluginError, match=r"two plugins, 'a' of team-a 1.0 and 'b' of team-b 1.0"):
        registry.component("schedule", "sine")


def test_two_distributions_with_one_entry_point_name_are_both_named(install, load, sine):
    install("team-a", "sine", sine("sine_a"))
    install("team-b", "sine", sine("sine_b"))
    with pytest.warns(PluginWarning, match=r"team-b 1.0 was left out: .* 'sine' of team-a 1.0"):
        registry = load()
    assert "sine_a" in registry.components("schedule")


def test_an_unknown_name_says_what_exists_and_which_plugin_was_left_out(install, load, sine):
    install("team-sine", "sine", "import a_module_that_does_not_exist\n" + sine())
    with pytest.warns(PluginWarning):
        registry = load()
    with pytest.raises(PluginError) as caught:
        registry.component("schedule", "sine")
    assert "There are: ac_dc, constant, cosine" in str(caught.value)
    assert "Left out: 'sine' of team-sine 1.0 (" in str(caught.value)
