"""Rules that do not fit a model, or probably do not do what was meant: errors and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice

from secateur.adapter import Binding, WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.criteria import Regrowth
from secateur.components.method import Method
from secateur.components.periodic import Gradual
from secateur.components.schedule import Schedule
from secateur.errors import PolicyError, closest, listed, shown
from secateur.policy.globs import native_globs
from secateur.policy.match import Match
from secateur.policy.rule import ResolvedRule
from secateur.run.planned import RuleWeights
from secateur.selection.component_errors import attributed

FEW_UPDATES = 5
"""A gradual schedule with fewer updates than this is worth a note."""
SHORT = 10
"""A schedule over so few steps is small on purpose, and not worth one."""
_NEGLIGIBLE = 0.01
_SHOWN = 8
"""How many weights an error lists."""
_COMPARED = 10_000
"""How many names are compared with one that no weight has."""


def schedule_notes(
    rules: Sequence[ResolvedRule], rule_weights: Sequence[RuleWeights], total_steps: int | None
) -> Iterator[str]:
    """Yield a note for each schedule that does something else than it seems to.

    Args:
        rules: The rules of the policy.
        rule_weights: The weights that each of them prunes.
        total_steps: The length of the run in optimizer updates, if it is known.

    """
    for weights in rule_weights:
        method, names = weights.method, [spec.name for spec in weights.specs]
        with attributed(method.schedule, 0, names):
            notes = [
                note
                for note in (
                    other_than_fixed(method),
                    without_threshold(method),
                    too_few_to_move(weights),
                    too_short(method, total_steps),
                    too_few(method.schedule, total_steps),
                )
                if note
            ]
        yield from (f"{rules[weights.rule - 1]}: {note}" for note in notes)


def other_than_fixed(method: Method) -> str | None:
    """Return a note if the pattern fixes another sparsity than the schedule asks for."""
    fixed, scheduled = method.fixed_sparsity, method.schedule.final
    if fixed is None or method.keeps_zeros or abs(fixed - scheduled) < _NEGLIGIBLE:
        return None
    return (
        f"pattern {method.pattern.kind!r} always has sparsity {fixed:.4g}, and its schedule "
        f"asks for {scheduled:g}: write final_sparsity = {fixed:.4g}, or choose another "
        "pattern"
    )


def without_threshold(method: Method) -> str | None:
    """Return a note if a schedule ends where nothing of a threshold is reached."""
    if method.has_target or method.keeps_zeros or method.schedule.final:
        return None
    return (
        f"its schedule ends at sparsity 0, which is none of its {method.distribution.kind}, so "
        "that nothing is pruned in the end: give it any final_sparsity above 0"
    )


def too_few_to_move(weights: RuleWeights) -> str | None:
    """Return a note if a criterion that moves weights never moves any, since so few are kept."""
    method = weights.method
    criterion, schedule = method.criterion, method.schedule
    if not isinstance(criterion, Regrowth) or schedule.percentages() or schedule.begin_when:
        return None
    first, names = schedule.earliest, [spec.name for spec in weights.specs]
    sparsity = schedule.sparsity(first)
    with attributed(criterion, first, names):
        fraction = float(criterion.fraction_at(first, schedule.latest or 0))
    with attributed(method.distribution, first, names):
        targets = method.distribution.targets(weights.specs, sparsity)
    with attributed(method.pattern, first, names):
        counts = [method.pattern.group_count(spec) for spec in weights.specs]
    if targets is None:
        kept = [keep_count(sum(counts), sparsity)]
    else:
        kept = [keep_count(*each) for each in zip(counts, targets, strict=True)]
    most = max(kept)
    if not fraction or round(Fraction(fraction) * most):
        return None
    return (
        f"criterion {criterion.kind!r} moves {fraction:g} of the groups that are kept, and there "
        f"are {most} of them at most, so that none ever moves: give it a larger fraction, or its "
        "schedule a lower sparsity"
    )


def too_short(method: Method, total_steps: int | None) -> str | None:
    """Return a note if a run is too short for a schedule to reach its end."""
    schedule = method.schedule
    if total_steps is None or schedule.begin_when is not None:
        return None
    last = schedule.last_update(total_steps)
    reached = 0.0 if last is None else schedule.sparsity(last)
    if reached == schedule.final:
        return None
    how_far = reached_in_words(method, reached)
    return (
        f"in a run of {total_steps} steps its schedule reaches {how_far}: {schedule.to_dict()}. "
        "Let it begin or end earlier, or update more often."
    )


def reached_in_words(method: Method, reached: float) -> str:
    """Return how far a schedule has come that has not reached its end."""
    if method.has_target:
        return f"sparsity {reached:.4g}, not {method.schedule.final:g}"
    return f"{method.share(reached):.0%} of its {method.distribution.kind}"


def too_few(schedule: Schedule, total_steps: int | None) -> str | None:
    """Return a note if a gradual schedule changes the masks only a few times."""
    if not isinstance(schedule, Gradual) or schedule.begin_when is not None:
        return None
    if schedule.percentages():
        return None
    begin, end = int(schedule.begin_step), int(schedule.end_step)
    if end - begin <= SHORT or (total_steps is not None and total_steps < end):
        return None
    updates = schedule.update_count(end, FEW_UPDATES)
    if updates >= FEW_UPDATES or schedule.initial_sparsity == schedule.final:
        return None
    return (
        f"from step {begin} to {end} its schedule changes the masks only {updates} times, in "
        f"jumps: frequency = {schedule.frequency}. Give it a smaller frequency, such as "
        f"{max(1, (end - begin) // 10)}."
    )


def shadowed_notes(
    rules: Sequence[ResolvedRule],
    matches: Mapping[int, Sequence[int]],
    deciding: Mapping[int, int],
) -> Iterator[str]:
    """Yield a note for each rule that decides no weight, since earlier rules decide them all.

    A rule that need not match anything may be left without weights on purpose; not so behind
    one that matches everything.

    Args:
        rules: The rules of the policy.
        matches: The indices of the weights that each rule matches.
        deciding: The rule that decides each weight, by its index.

    """
    everything = next((rule.number for rule in rules if rule.match == Match()), len(rules))
    used = set(deciding.values())
    for rule in rules:
        indices = matches[rule.number]
        if rule.number in used or not indices:
            continue
        if rule.required or rule.number > everything:
            first = sorted({deciding[index] for index in indices})
            others = listed((str(rules[number - 1]) for number in first), 3)
            yield (
                f"{rule} decides no weight: it matches only weights that {others} decides "
                "already, since the first rule that matches a weight decides it. Put the rule "
                "first, or remove it."
            )


def trainable_notes(rules: Sequence[ResolvedRule], binding: Binding) -> Iterator[str]:
    """Yield a note for each rule that asks what a file does not say: which weights are trained.

    Args:
        rules: The rules of the policy.
        binding: The bound model, or file.

    """
    for rule in rules:
        if rule.match.trainable is not None and not binding.knows_trainable:
            yield (
                f"{rule}, match.trainable: a file does not say which weights the model trains, so "
                "every weight counts as trainable here. Use the policy on the model itself."
            )


def unmatched_error(rule: ResolvedRule, specs: Sequence[WeightSpec], adapter: str) -> PolicyError:
    """Return the error for a required rule that matches no weight."""
    have = [f"{shown(s.name)[1:-1]} ({s.kind}, {'x'.join(map(str, s.shape))})" for s in specs]
    return PolicyError(
        f"{rule}, match = {rule.match.normalized()!s:.300}, matches no weight of this {adapter} "
        f"model.{_advice(rule, specs, adapter)} There are: {listed(have, _SHOWN)}. Correct the "
        "rule, or set required = false."
    )


def _advice(rule: ResolvedRule, specs: Sequence[WeightSpec], adapter: str) -> str:
    """Return what of the rule's conditions no weight fulfils, and what is like it."""
    match = rule.match
    globs = match.globs(adapter)
    if isinstance(match.name, dict) and not globs:
        return f" Its table of names has no entry for {adapter!r}."
    for glob in globs[:_SHOWN]:
        if (guess := nearest_name(glob, specs)) is not None:
            return f" Did you mean {shown(guess)}?"
    for word, wanted, there in (
        ("kind", match.kind, {spec.kind for spec in specs}),
        ("role", match.role, {spec.role for spec in specs}),
    ):
        if wanted and not there.intersection(wanted):
            return f" Each {word} that it has: {listed(sorted(there), _SHOWN)}."
    return ""


def nearest_name(glob: str, specs: Sequence[WeightSpec]) -> str | None:
    """Return the name that is most like a glob, unless the glob is one of the names itself."""
    names = {name: name for spec in specs for name in (spec.name, *spec.aliases, spec.layer)}
    if glob in names:
        return None
    for form in _forms(glob):
        if form in names:
            return form
    natives = {
        f"{spec.layer}{ending}": spec.name for spec in specs for ending in (".weight", "/kernel")
    }
    known = dict(islice({**natives, **names}.items(), _COMPARED))
    close = closest(glob, known)
    return None if close is None else known[close]


def _forms(glob: str) -> Iterator[str]:
    """Yield a glob as it would be without a prefix of the framework, such as the model's name."""
    parts = glob.replace("/", ".").split(".")
    for start in range(len(parts)):
        rest = ".".join(parts[start:])
        yield from (rest, *native_globs(rest))


def unordered_error(rule: ResolvedRule, condition: str) -> PolicyError:
    """Return the error for a condition that a file cannot answer, as the model can."""
    return PolicyError(
        f"{rule}, match.{condition}: a file lists its weights in the order of its format, and does "
        "not say in which order the model uses them, or which of them it trains. Name the layers "
        "(match = { name = ... }), or use the policy on the model itself."
    )
