"""The examples in the docstrings of recordings, reports and their neighbours."""

import doctest
import importlib

import pytest

MODULES = (
    "asic_reservoir.provenance",
    "asic_reservoir.recording",
    "asic_reservoir.recording.addresses",
    "asic_reservoir.recording.shares",
    "asic_reservoir.replay",
    "asic_reservoir.report.alt_text",
    "asic_reservoir.report.model",
    "asic_reservoir.report.page",
    "asic_reservoir.report.plots",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
