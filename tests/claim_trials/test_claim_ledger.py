"""``asic-reservoir claims --board``: the list tried on a board, and its ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asic_reservoir.claim_ledger import try_claims
from asic_reservoir.cli import main
from asic_reservoir.errors import NotFoundError


def run(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["claims", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.mark.slow
def test_the_ledger_has_published_and_measured_values_controls_and_reasons(capsys: Any, tmp_path: Path) -> None:
    wanted = ("diffusion", "edge-of-chaos", "vbm", "universality")
    only = [part for name in wanted for part in ("--only", name)]
    code, out, _ = run(capsys, "--board", "twin://bm1366?seed=1&share_bits=2", *only, "--out", str(tmp_path))
    assert code == 0
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    lines = {line["claim"]: line for line in ledger["claims"]}
    assert list(lines) == list(wanted)
    assert lines["diffusion"]["standing"] == "not supported"
    assert lines["diffusion"]["measured"]["effect"]["low"] < 0 < lines["diffusion"]["measured"]["effect"]["high"]
    assert lines["diffusion"]["origin"] == "simulated"
    assert "needs a proxy" in lines["vbm"]["sentence"]
    assert (tmp_path / "edge-of-chaos" / "report.html").exists()
    for line in lines.values():
        assert line["published"] in out
        assert line["sentence"] in out


def test_what_a_board_cannot_do_is_said_and_the_list_goes_on(tmp_path: Path) -> None:
    entries = try_claims("replay://s9-shares", tmp_path, ("diffusion", "hns"))
    assert [entry.standing for entry in entries] == ["not tested", "not tested"]
    assert "can be driven" in entries[0].sentence
    with pytest.raises(NotFoundError):
        try_claims("replay://s9-shares", tmp_path, ("cold-fusion",))


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--board", "s9"), 2, "must be a URI"),
        (("--only", "vbm"), 2, "must come with --board"),
        (("--board", "twin://s9", "--only", "cold-fusion"), 3, "must be one of"),
    ],
)
def test_wrong_use_gets_one_line(capsys: Any, arguments: tuple[str, ...], code: int, word: str) -> None:
    found, _, err = run(capsys, *arguments)
    assert found == code
    assert word in err
    assert "Traceback" not in err
