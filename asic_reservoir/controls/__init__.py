"""Controls: what a score must survive before anybody calls it the work of the silicon."""

from asic_reservoir.controls._devices import DeviceClass, DeviceRules, classify_device
from asic_reservoir.controls._intervals import (
    Equivalence,
    block_bootstrap,
    block_bootstrap_difference,
    equivalence,
    holm,
    max_statistic,
    paired_difference,
    seed_bootstrap,
)
from asic_reservoir.controls._leaks import Leak, find_leaks
from asic_reservoir.controls._nulls import (
    NullTest,
    decoupled_input,
    permutation_test,
    shift_surrogates,
    shuffled_states,
)
from asic_reservoir.controls._verdict import NOT_SUPPORTED, SUPPORTED, UNDECIDED, Rules, Verdict, verdict

__all__ = [
    "NOT_SUPPORTED",
    "SUPPORTED",
    "UNDECIDED",
    "DeviceClass",
    "DeviceRules",
    "Equivalence",
    "Leak",
    "NullTest",
    "Rules",
    "Verdict",
    "block_bootstrap",
    "block_bootstrap_difference",
    "classify_device",
    "decoupled_input",
    "equivalence",
    "find_leaks",
    "holm",
    "max_statistic",
    "paired_difference",
    "permutation_test",
    "seed_bootstrap",
    "shift_surrogates",
    "shuffled_states",
    "verdict",
]
