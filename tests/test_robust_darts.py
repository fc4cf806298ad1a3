"""RobustDARTS: the stopping rule, the Hessian's largest eigenvalue, searches that stop or go back, the report."""

import numpy as np
import pytest

from tests.support import reference
from tfdarts.strategies.parts import robust_darts

SEQUENCES = reference.load("strategies/early_stop.json")


@pytest.mark.parametrize("number", range(len(SEQUENCES)))
def test_the_rule_on_the_authors_programs_decisions(number):
    case, found = SEQUENCES[number], None
    for count in range(1, len(case["eigenvalues"]) + 1):
        place = robust_darts.named(case["eigenvalues"][:count], case["delta"], case["factor"], case["window"])
        if place is not None and place * case["every"] >= case["start"]:
            found = {"decided_at": (count - 1) * case["every"], "stop_epoch": place * case["every"]}
            break
    assert found == case["stop"]
