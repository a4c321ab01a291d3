"""Reports on disk: whole or not at all, on a full disk too."""

import os
import subprocess
import sys

import pytest
from test_model import a_report

from asic_reservoir.cli import main
from asic_reservoir.errors import DataError, NotFoundError
from asic_reservoir.report.files import read_report, write_atomic, write_report


def test_a_report_is_written_read_and_rendered_again(tmp_path, capsys):
    report = a_report(figures=a_report().figures[:1])
    as_json, as_html = write_report(report, tmp_path / "deep" / "run")
    assert read_report(as_json) == report
    with pytest.raises(SystemExit) as done:
        main(["report", str(as_json), "--out", str(tmp_path / "again.html")])
    assert done.value.code == 0
    assert (tmp_path / "again.html").read_bytes() == as_html.read_bytes()
    assert sorted(path.name for path in as_json.parent.iterdir()) == ["report.html", "report.json"]
    capsys.readouterr()


def test_a_full_disk_leaves_what_was_there(tmp_path):
    # RLIMIT_FSIZE stops writes the way a full disk does: after a part of the file is out.
    target = tmp_path / "out.json"
    target.write_bytes(b"old")
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from asic_reservoir.errors import DataError\n"
        "from asic_reservoir.report.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    write_atomic(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(target)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "File too large, nothing was changed" in done.stdout
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_disk_that_is_really_full(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount tmpfs here: {mounted.stderr.strip()}")
    try:
        write_atomic(tmp_path / "small", b"x" * 1000)
        with pytest.raises(DataError, match="No space left on device, nothing was changed"):
            write_atomic(tmp_path / "small", b"y" * 200_000)
        assert (tmp_path / "small").read_bytes() == b"x" * 1000
        assert os.listdir(tmp_path) == ["small"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFoundError, match="no folder"):
        write_atomic(tmp_path / "absent" / "x.json", b"")
    with pytest.raises(DataError, match="Is a directory, nothing was changed"):
        write_atomic(tmp_path, b"")
    with pytest.raises(DataError, match="must be one that can be made"):
        write_report(a_report(figures=[], rows=[]), tmp_path / "file" / "run")
    with pytest.raises(NotFoundError, match="no such file"):
        read_report(tmp_path / "absent.json")
    with pytest.raises(DataError, match="Is a directory"):
        read_report(tmp_path)
