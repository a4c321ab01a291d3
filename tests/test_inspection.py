"""``asic-reservoir inspect``: the keys that other programs rely on, the figures of the real machine, the exit codes."""

import json

import pytest

import asic_reservoir
from asic_reservoir.around import BoardAround
from asic_reservoir.board import Detail, OperatingPoint, Step
from asic_reservoir.cli import main
from asic_reservoir.inspection import inspect, watch
from asic_reservoir.recording import shipped
from asic_reservoir.registry import open_board
from asic_reservoir.report.inspection_page import explain, render_inspection


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["inspect", *arguments])
    out, err = capsys.readouterr()
    return exit_.value.code, out, err


@pytest.fixture(scope="module")
def found():
    with open_board("replay://s9-shares") as board:
        return inspect(watch(board, 60))


def test_json_of_the_real_recording(capsys):
    code, out, _ = run(capsys, "replay://s9-shares", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["origin"] == "replayed"
    assert {key: data["shares"][key] for key in ("total", "valid", "duplicate", "stale", "same_read")} == {
        "total": 2588,
        "valid": 2588,
        "duplicate": 42,
        "stale": 263,
        "same_read": 33,
    }
    rate = data["rate"]
    assert rate["plateau_hz"] == pytest.approx(12.96, abs=0.25)
    assert rate["hashrate_ths"]["low"] < 14.0 < rate["hashrate_ths"]["high"]
    assert rate["hashrate_ths"]["mean"] == pytest.approx(rate["plateau_hz"] * 256 * 2**32 * 1e-12, rel=1e-6)
    assert data["intervals"]["cv"] < data["intervals"]["cv_unbiased"]
    assert (len(data["chips"]), len(data["cores"])) == (63, 114)
    assert sum(data["chips"].values()) == sum(data["cores"].values()) == sum(map(sum, data["map"])) == 2588 - 42


def test_a_file_says_the_same_as_the_shipped_recording(capsys):
    folder = asic_reservoir.__path__[0]
    _, shipped_out, _ = run(capsys, "replay://s9-shares", "--json")
    _, file_out, _ = run(capsys, f"replay://{folder}/data/s9_shares/s9_shares.csv", "--json")
    one, other = json.loads(shipped_out), json.loads(file_out)
    for key in ("shares", "rate", "intervals", "chips", "cores", "map", "duration_s"):
        assert one[key] == other[key]


def test_words_explain_bias_and_dead_time(found):
    text = dict(explain(found))
    assert "2,588 of 2,588" in text["Shares"]
    assert "dead time and ramp alone" in text["Intervals"]
    assert "√((n−1)/(n+1))" in text["Intervals"]
    assert "no departure from independent arrivals" in text["Intervals"]


def test_the_page_is_one_file_with_the_map(found, tmp_path, capsys):
    page = render_inspection(found)
    assert page.count('class="badge replayed"') >= 8
    for anchor in ("job-age", "raster", "chips", "cores", "map"):
        assert f'id="{anchor}"' in page
    code, out, _ = run(capsys, "replay://s9-shares", "--html", str(tmp_path / "page.html"))
    assert code == 0
    assert "Chips and cores" in out
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


def test_any_board_can_be_watched(capsys):
    code, out, _ = run(capsys, "twin://s9?seed=3", "--seconds", "2", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["origin"] == "simulated"
    assert data["duration_s"] == pytest.approx(2.0, abs=0.1)
    assert data["shares"]["valid"] > 1000
    assert len(data["chips"]) == 189
    assert data["rate"]["dead_time_s"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("replay:///no/such.csv",), 3, "no file or folder '/no/such.csv'"),
        (("replay:///proc/self/status",), 8, "no column 'timestamp'"),
        (("s9-shares",), 2, "no scheme"),
        (("replay://s9-shares", "--html", "/no/such/folder/page.html"), 3, "no folder '/no/such/folder'"),
        (("replay://s9-shares", "--seconds", "0"), 2, "--seconds"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(capsys, arguments, code, message):
    found_code, out, err = run(capsys, *arguments)
    assert found_code == code
    assert message in err
    assert "Traceback" not in err
    assert out == ""


def test_a_truncated_recording_is_refused(tmp_path, capsys):
    source = asic_reservoir.__path__[0] + "/data/s9_shares/s9_shares.csv"
    with open(source, "rb") as file:
        (tmp_path / "cut.csv").write_bytes(file.read()[:100_000])
    code, _, err = run(capsys, f"replay://{tmp_path}/cut.csv")
    assert code == 8
    assert "is the file cut off?" in err or "must be" in err


def test_watching_a_recording_takes_all_of_it(found):
    assert found.stream.nonces.equals(shipped().nonces)


@pytest.mark.parametrize("detail", list(Detail))
def test_a_recorded_run_is_inspected_to_its_end(tmp_path, capsys, detail):
    from asic_reservoir.store.recorder import Recorder
    from asic_reservoir.store.transfer import export_run

    with Recorder(open_board("twin://s9?seed=5"), tmp_path / "run") as board:
        seen = [board.step(Step(OperatingPoint(), 200_000_000, detail=detail)) for _ in range(3)]
    export_run(tmp_path / "run", tmp_path / "run.zip")
    expected = sum(int(observation.counts.total.sum()) for observation in seen)
    for place, *page in (("run", "--html", str(tmp_path / "page.html")), ("run.zip",)):
        code, out, err = run(capsys, f"replay://{tmp_path}/{place}", "--json", *page)
        assert code == 0, err
        data = json.loads(out)
        assert data["origin"] == "simulated"
        assert data["shares"]["total"] == expected
        assert data["duration_s"] == pytest.approx(sum(observation.duration_s for observation in seen))
        assert bool(data["cores"]) == (detail is Detail.NONCES)
        assert "simulated" in (tmp_path / "page.html").read_text()


def test_a_recording_behind_other_boards_is_still_a_recording():
    """A worker of a service puts its fence around every board: the ages of jobs are not lost by that."""
    with BoardAround(open_board("replay://s9-shares")) as board:
        stream = watch(board, 1.0)
    assert stream.age_ns is not None
    assert len(stream.nonces) == 2588
