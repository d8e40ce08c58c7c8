"""Pictures of schedules: the target sparsity over the steps, and where masks are updated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from secateur import Policy, Schedule
from secateur.errors import PolicyError
from secateur_plots.canvas import DASHES, FAINT, MARKERS, SERIES, axes, bare, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PolicyLike = Policy | Mapping[str, Any] | str
_POINTS = 400
_HORIZON = 10**6
_MOST_UPDATES = 2000
"""More updates than this cannot be told apart in a picture."""


def plot_schedule(
    policy: object,
    total_steps: int | None = None,
    ax: Axes | None = None,
    *,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Draw the target sparsity of policies over the steps of a run, update steps marked.

    The line is the schedule; a mark is an update of the masks. Between two marks, masks stay as
    they are. A policy whose rules have schedules of their own gets a line for each.

    Args:
        policy: A Policy, a path, a mapping or the name of a ready policy; or a list of them, to
            lay one over another.
        total_steps: The number of optimizer updates of the run; needed for percentages. By
            default a little more than the longest schedule.
        ax: Where to draw; None makes a figure.
        labels: A label for each policy; by default its name.

    Returns:
        The figure.

    Raises:
        PolicyError: A policy is not valid, has no schedule, or needs `total_steps`; or there is
            another number of labels.

    Example:
        >>> import secateur_plots
        >>> grow = {"kind": "linear", "final_sparsity": 0.8, "end_step": 100, "frequency": 10}
        >>> figure = secateur_plots.plot_schedule([{"schedule": grow}, "cnn-80"], total_steps=120)
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['policy 1', 'cnn-80']

    """
    lines = [*_lines(_policies(policy), labels, total_steps)]
    if not lines:
        raise PolicyError("no rule of these policies prunes, so there is no schedule to draw")
    end = total_steps or _end([schedule for _, schedule in lines])
    figure, ax = axes(ax, 6.4, 3.8)
    for number, (label, schedule) in enumerate(lines):
        _draw(ax, number, label, schedule, end)
    ax.set_xlim(-0.02 * end, 1.02 * end)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("step (optimizer updates finished)", fontsize=9)
    ax.set_ylabel("target sparsity", fontsize=9)
    ax.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
    bare(ax)
    if len(lines) > 1 or lines[0][0] != "policy 1":
        ax.legend(frameon=False, fontsize=9, loc="lower right")
    return figure  # type: ignore[no-any-return]


def _policies(policy: object) -> list[Policy]:
    several = policy if isinstance(policy, (list, tuple)) else [policy]
    return [_as_policy(each) for each in several]


def _as_policy(policy: Any) -> Policy:
    if isinstance(policy, Policy):
        return policy
    return Policy.parse(policy) if isinstance(policy, Mapping) else Policy.load(policy)


def _lines(
    policies: Sequence[Policy], labels: Sequence[str] | None, total_steps: int | None
) -> Iterator[tuple[str, Schedule]]:
    """Yield each distinct schedule of each policy, with its label."""
    if labels is not None and len(labels) != len(policies):
        raise PolicyError(f"{len(policies)} policies and {len(labels)} labels")
    for number, policy in enumerate(policies):
        name = labels[number] if labels else policy.name or f"policy {number + 1}"
        rules: dict[Schedule, int] = {}
        for rule in policy.resolved_rules:
            if rule.method is not None:
                rules.setdefault(rule.method.schedule, rule.number)
        for schedule, rule_number in rules.items():
            label = name if len(rules) == 1 else f"{name}, rule {rule_number}"
            yield label, schedule.with_total_steps(total_steps)


def _end(schedules: Sequence[Schedule]) -> int:
    """Return a little more than the last step at which one of some schedules changes."""
    return max(10, round(max(map(_last, schedules)) * 1.1))


def _last(schedule: Schedule) -> int:
    """Return the last step that matters of a schedule, or a few updates of an endless one."""
    last = schedule.last_update(_HORIZON) or 0
    if last + getattr(schedule, "frequency", 1) <= _HORIZON:
        return last
    return schedule.earliest + 10 * int(getattr(schedule, "frequency", 1))


def _draw(ax: Axes, number: int, label: str, schedule: Schedule, end: int) -> None:
    colour = SERIES[number % len(SERIES)]
    steps = np.unique(np.linspace(0, end, _POINTS).astype(int))
    updates = _updates(schedule, end)
    steps = np.union1d(steps, [step for each in updates for step in (each - 1, each) if step >= 0])
    ax.plot(
        steps,
        [_target(schedule, int(step)) for step in steps],
        color=colour,
        linestyle=DASHES[number % len(DASHES)],
        linewidth=1.6,
        label=plain(label),
        marker=MARKERS[number % len(MARKERS)],
        markersize=5 if len(updates) <= 60 else 2.5,
        markevery=np.flatnonzero(np.isin(steps, updates)).tolist(),
        markeredgecolor="white",
        markeredgewidth=0.5 if len(updates) <= 60 else 0,
        clip_on=False,
        zorder=3,
    )


def _target(schedule: Schedule, step: int) -> float:
    """Return the sparsity that is asked for at a step: none before the schedule begins."""
    return 0.0 if step < schedule.earliest else schedule.sparsity(step)


def _updates(schedule: Schedule, end: int) -> list[int]:
    """Return the steps at which masks are updated, the last 2,000 of them at most."""
    found: list[int] = []
    before: int | None = end
    while before is not None and len(found) < _MOST_UPDATES:
        step = schedule.last_update_between(-1, before)
        if step is None:
            break
        found.append(step)
        before = step - 1 if step else None
    return found[::-1]
