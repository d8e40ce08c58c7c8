"""The kit fails every broken adapter, and by the check that is there for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
CAUGHT_BY = {
    "TestForgetsToReapply": "test_pruned_weights_stay_plus_zero[dense]",
    "TestMultiplies": "test_apply_zeroes_what_the_mask_prunes[gru]",
    "TestKeepsTheFirstMask": "test_pruned_weights_stay_plus_zero[gru]",
    "TestAppliesMasksAtTheNextUpdate": "test_attach_evaluates_step_0",
    "TestStepsBeforeTheUpdate": "test_each_step_is_update_then_present_masks_then_new_masks",
    "TestMasksAfterItCounts": "test_thresholds_prune_what_lies_below_them_after_an_update",
    "TestMissesTheFirstUpdate": "test_pruned_weights_stay_plus_zero[dense]",
    "TestCountsALayerUsedTwiceAsTwoSteps": "test_one_update_of_a_layer_used_twice_is_one_step",
    "TestForgetsTheStepInItsState": "test_a_resumed_run_equals_the_uninterrupted_one[state_dict]",
    "TestReadsGatesInTheWrongOrder": "test_read_shows_what_was_put_in[gru]",
    "TestReadsATransposedKernel": "test_masks_are_those_of_the_reference[dense]",
    "TestAppliesATransposedMask": "test_apply_zeroes_what_the_mask_prunes[dense]",
    "TestZeroesNaNBeforeItIsSeen": (
        "test_a_weight_that_is_not_finite_is_named_and_nothing_is_changed[nan]"
    ),
    "TestPrunesBeforeAllIsChecked": (
        "test_a_weight_that_is_not_finite_is_named_and_nothing_is_changed[inf]"
    ),
    "TestStaysHookedAfterDetach": "test_the_model_keeps_its_type_and_structure",
    "TestGivesAwayAWritableView": (
        "test_a_bound_model_is_as_it_was_and_its_weights_cannot_be_written"
    ),
    "TestReadsInSinglePrecision": "test_read_keeps_the_dtype[float64]",
    "TestReadsOnlyOnce": "test_each_step_is_update_then_present_masks_then_new_masks",
    "TestLeavesOutWhatItDoesNotKnow": "test_a_layer_left_dense_is_listed_with_a_reason",
    "TestFindsASharedLayerTwice": "test_a_layer_used_twice_is_one_weight",
    "TestKeepsMasksInTheModel": "test_the_model_keeps_its_type_and_structure",
    "TestGivesAWrongGradient": "test_a_gradient_is_that_of_the_last_update",
    "TestMasksWeightsThatHaveNoMask": "test_a_weight_without_a_mask_is_left_alone",
    "TestCountsNothingThatIsNotZero": "test_nonzero_pruned_counts_what_the_model_holds",
    "TestCountsWhatTheMaskKeeps": "test_nonzero_pruned_counts_what_the_model_holds",
    "TestCountsAsOfTheLastUpdate": "test_a_report_counts_the_live_weights",
    "TestMissesAReplacedLayer": "test_a_replaced_layer_is_noted_and_detach_lets_go",
    "TestNamesNoWeightInItsNotes": "test_a_replaced_layer_is_noted_and_detach_lets_go",
    "TestGivesEachBindingItsOwnIdentity": "test_a_model_is_attached_once_at_a_time",
    "TestCountsTooFewParameters": "test_everything_is_counted",
    "TestGivesNoSizeToWhatIsLeftDense": "test_everything_is_counted",
    "TestCannotLetGoOfAChangedModel": "test_a_replaced_layer_is_noted_and_detach_lets_go",
    "TestGivesAStaleGradient": "test_a_criterion_gets_the_gradient_of_each_update",
    "TestGivesTheGradientBeforeClipping": "test_a_gradient_is_that_after_clipping",
    "TestKeepsTheMomentumOfWhatComesBack": (
        "test_a_weight_that_comes_back_starts_from_plus_zero_without_momentum"
    ),
    "TestClearsAllMomentum": "test_a_weight_that_comes_back_starts_from_plus_zero_without_momentum",
    "TestWritesATransposedKernel": "test_earlier_weights_are_put_under_the_present_masks[dense]",
    "TestLosesTheMemoryInItsState": "test_memory_is_part_of_the_state[state_dict]",
    "TestSwallowsErrorsOfAStep": "test_an_update_that_a_nan_spoils_is_made_up",
}


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sabotage")]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run the kit on every broken adapter, in a process of its own; return what failed."""
    report = tmp_path_factory.mktemp("sabotage") / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run(
        [sys.executable, "-m", "pytest", str(HERE / "sabotaged.py"), *options],
        check=False,
        capture_output=True,
        timeout=600,
    )
    failed, errors = {}, []
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  our own file
        suite = case.get("classname", "").rpartition(".")[2]
        failed.setdefault(suite, set())
        if case.find("failure") is not None:
            failed[suite].add(case.get("name"))
        if case.find("error") is not None:
            errors.append((suite, case.get("name")))
    return failed, errors


def test_every_broken_adapter_is_here_and_the_kit_itself_does_not_break(outcomes):
    failed, errors = outcomes
    assert set(failed) == set(CAUGHT_BY)
    assert not errors


@pytest.mark.parametrize("sabotage", CAUGHT_BY)
def test_the_kit_fails(sabotage, outcomes):
    failed, _ = outcomes
    assert CAUGHT_BY[sabotage] in failed[sabotage]


def test_most_checks_pass_even_so(outcomes):
    """A kit that fails everything would show nothing."""
    failed, _ = outcomes
    assert all(len(checks) <= 40 for checks in failed.values())
