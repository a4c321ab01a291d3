"""Checks every proof: ``python3 -m lean.check``.

First the sources as text (forbidden words, imports, the index), then every module by Lean: with ``lake`` where it is
installed, else with the toolchain of :mod:`lean.toolchain`. A module whose text and imports were accepted before by
the same toolchain is not checked again. Judged is the exit status of Lean, and that it wrote the compiled module.

Exit status: 0 all accepted, 1 something refused, 2 the check could not be made.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from lean import mutants
from lean.sources import FOLDER, Module, SourceError, check_index, read_index, read_modules
from lean.toolchain import Toolchain, ToolchainError, cache_folder, toolchain

SECONDS_A_FILE = 900
REFUSED = {"FalseTheorem": "`decide` failed for proposition", "Unfinished": "declaration uses `sorry`"}
"""Files of ``lean/refused`` that Lean itself must refuse, a false theorem and a proof with a hole; and what it says."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Lean said of a file."""

    accepted: bool
    messages: str
    seconds: float


class Checker:
    """Runs Lean on single files, against the modules that it has accepted."""

    def __init__(self, tools: Toolchain, cache: Path, build: Path) -> None:
        self._tools, self._build = tools, build
        self._kept = cache / "accepted"
        self._kept.mkdir(exist_ok=True)
        self._keys: dict[str, str] = {}

    def module(self, module: Module) -> Outcome:
        """Check a module whose imports were accepted, or recall that it was."""
        parts = [self._tools.identity, module.name, module.text, *(self._keys[name] for name in module.imports)]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        self._keys[module.name] = key
        kept, built = self._kept / f"{key}.olean", self._build / Path(*module.name.split(".")).with_suffix(".olean")
        built.parent.mkdir(parents=True, exist_ok=True)
        if kept.exists():
            shutil.copyfile(kept, built)
            return Outcome(True, "", 0.0)
        outcome = self.text(module.name, module.text, built)
        if outcome.accepted:
            scratch = kept.with_suffix(f".{os.getpid()}")
            shutil.copyfile(built, scratch)
            scratch.replace(kept)
        return outcome

    def text(self, name: str, text: str, compiled: Path | None = None) -> Outcome:
        """Check a text on its own, under a file of the given name; keep the compiled module where asked to."""
        file = Path(*name.split(".")).with_suffix(".lean")
        (self._build / file).write_text(text, encoding="utf-8")
        target = compiled or self._build / file.with_suffix(".olean")
        target.unlink(missing_ok=True)
        environment = os.environ | {"LEAN_PATH": f"{self._tools.library}:{self._build}"}
        began = time.monotonic()
        try:
            done = subprocess.run(
                self._tools.command("-DwarningAsError=true", "-o", str(target), str(file)),
                cwd=self._build,  # the program leaves a profile where it runs
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS_A_FILE,
            )
        except subprocess.TimeoutExpired:
            return Outcome(False, f"{name}: not done within {SECONDS_A_FILE} s", time.monotonic() - began)
        said = f"{done.stdout}\n{done.stderr}"
        accepted = done.returncode == 0 and target.exists()
        return Outcome(accepted, "" if accepted else _messages(said, str(file)), time.monotonic() - began)


def _messages(said: str, file: str) -> str:
    """Lean's own messages, without the traces of the WebAssembly build."""
    lines = said.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(f"{file}:") and "error" in line), None)
    if first is None:
        return f"{file}: Lean stopped: {' | '.join(lines[-5:])}"
    traces = ("[DEBUG:", "  - /", "  mainModule? =")
    return "\n".join(line for line in lines[first:] if not line.startswith(traces)).rstrip()


def check_modules(checker: Checker, modules: Iterable[Module], jobs: int) -> list[str]:
    """Check modules side by side, imports first; the names of those that were refused or could not be reached."""
    waiting, accepted, bad = list(modules), set[str](), list[str]()
    running: dict[Future[Outcome], Module] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            for module in [m for m in waiting if accepted.issuperset(m.imports)][: jobs - len(running)]:
                waiting.remove(module)
                running[pool.submit(checker.module, module)] = module
            if not running:
                bad += [module.name for module in waiting]
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                module, outcome = running.pop(future), future.result()
                if outcome.accepted:
                    accepted.add(module.name)
                else:
                    bad.append(module.name)
                _report(module.name, outcome)
    return bad


def _report(name: str, outcome: Outcome, wanted: bool = True) -> None:
    word = "accepted" if outcome.accepted else "refused"
    took = f"{outcome.seconds:.0f} s" if outcome.seconds else "unchanged"
    print(f"{name}: {word} ({took})", flush=True)
    if outcome.messages and wanted:
        print(outcome.messages, file=sys.stderr, flush=True)


def check_what_is_false(checker: Checker, modules: list[Module], jobs: int) -> list[str]:
    """What must be refused, side by side: two files, and the mutated statements, each with an error of its own.

    The statements as they are, in the same file, must be accepted. Returns the names of what went wrong.
    """
    right, wrong = mutants.batch(modules, mutated=False), mutants.batch(modules, mutated=True)
    texts = {"Unmutated": right.text, "Mutated": wrong.text}
    texts |= {name: (FOLDER / "refused" / f"{name}.lean").read_text(encoding="utf-8") for name in REFUSED}
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = dict(zip(texts, pool.map(checker.text, texts.keys(), texts.values()), strict=True))
    bad = []
    for name, said in REFUSED.items():
        _report(f"refused/{name}", outcomes[name], wanted=False)
        if outcomes[name].accepted or said not in outcomes[name].messages:
            bad.append(f"refused/{name}")
    _report("statements as they are", outcomes["Unmutated"])
    if not outcomes["Unmutated"].accepted:
        bad.append("statements as they are")
    errors = outcomes["Mutated"].messages
    survivors = [name for name, lines in wrong.places.items() if not mutants.refused(errors, "Mutated", lines)]
    count = len(wrong.places)
    print(f"mutants: {count - len(survivors)} of {count} refused ({outcomes['Mutated'].seconds:.0f} s)", flush=True)
    return bad + [f"mutant of {name}" for name in survivors]


def _lake(jobs: int) -> int:
    """Check with an installed Lean."""
    return subprocess.run(
        ["lake", "build", "--wfail"], cwd=FOLDER, env=os.environ | {"LEAN_NUM_THREADS": str(jobs)}
    ).returncode


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m lean.check", description="Check every proof.")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="files side by side (default 2)")
    parser.add_argument("--all", action="store_true", help="also what must be refused: files and mutated theorems")
    parser.add_argument("--no-lake", action="store_true", help="the fetched toolchain even where lake is installed")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs: {options.jobs}, must be at least 1")
    try:
        modules = read_modules()
        check_index(modules, read_index())
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    if shutil.which("lake") and not options.no_lake:
        if _lake(options.jobs):
            return 1
        if not options.all:
            return 0
    began = time.monotonic()
    try:
        cache = cache_folder()
        tools = toolchain(cache)
        with tempfile.TemporaryDirectory(dir=cache, prefix="build-") as build:
            checker = Checker(tools, cache, Path(build))
            bad = check_modules(checker, modules, options.jobs)
            if options.all and not bad:
                bad = check_what_is_false(checker, modules, options.jobs)
    except (ToolchainError, OSError, subprocess.TimeoutExpired) as error:
        print(f"lean: {error}", file=sys.stderr)
        return 2
    print(f"{len(modules)} modules, {len(bad)} wrong ({time.monotonic() - began:.0f} s)")
    for name in bad:
        print(f"wrong: {name}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
