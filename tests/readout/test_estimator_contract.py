"""What scikit-learn asks of an estimator, asked of every readout.

All pass whole, ``RidgeReadout(selection="blocks")`` too, as the suite permutes rows for ``predict`` only. What a
time-ordered estimator cannot promise, and the suite does not ask, is the same fit for permuted rows: the last test.
"""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from asic_reservoir.readout import ReadoutClassifier, RecursiveLeastSquares, RidgeReadout


@pytest.mark.parametrize(
    "estimator",
    [RidgeReadout(), RidgeReadout(selection="blocks"), RecursiveLeastSquares(), ReadoutClassifier()],
    ids=["ridge", "ridge-blocks", "rls", "classifier"],
)
def test_check_estimator(estimator: object) -> None:
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}
    assert not failed
    assert len(results) > 45


def test_the_order_of_rows_is_time() -> None:
    """A slow drift that both states and target ride on: shuffled folds believe in it, blocks in time do not."""
    generator = np.random.default_rng(3)
    states = np.cumsum(generator.normal(size=(600, 20)), axis=0)
    target = np.cumsum(generator.normal(size=600))
    order = generator.permutation(600)
    in_time = RidgeReadout(selection="blocks", gap=20).fit(states, target)
    shuffled = RidgeReadout(selection="blocks").fit(states[order], target[order])
    assert in_time.errors_.min() > 2.0 * shuffled.errors_.min()
    assert in_time.alpha_ > shuffled.alpha_
