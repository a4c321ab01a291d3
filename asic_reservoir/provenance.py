"""Where a result comes from: code, libraries, machine, settings. Enough to run it again and to see what differed.

The record holds no host name, no user name and no path: it can be published with the report.

>>> record = collect(seeds=[1, 2], settings={"encoding": "frequency"})
>>> record.version == asic_reservoir.__version__ and len(record.environment_sha256)
64
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

import asic_reservoir

LIBRARIES = ("numpy", "scipy", "scikit-learn", "numba", "pyarrow", "pydantic", "matplotlib")
"""Distributions whose version can change a number of a report or its look."""
GIT_TIMEOUT_S = 5.0


class Machine(BaseModel):
    """The computer that ran the host side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = ""
    """Operating system and kernel release."""
    architecture: str = ""
    cpu: str = ""
    cores: int = 0
    memory_bytes: int = 0
    blas: list[str] = Field(default_factory=list)
    """Linear-algebra libraries in the process, with version and kernel: the last bits of a float depend on them."""


class Elsewhere(BaseModel):
    """Machines of one kind that computed a part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: Machine
    hosts: int
    """How many of this kind."""
    jobs: int
    """Draws, those of the curve included, that were computed on them."""


class Provenance(BaseModel):
    """The record that goes into every report. ``created`` is its only clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    created: str = ""
    """Time of the record, ISO 8601, UTC."""
    version: str = ""
    """Version of this distribution."""
    commit: str = ""
    """Git commit of the source tree; empty for an installed wheel."""
    modified: bool = False
    """Whether tracked files of the source tree differed from that commit."""
    python: str = ""
    libraries: dict[str, str] = Field(default_factory=dict)
    lock_sha256: str = ""
    """SHA-256 of ``requirements.lock``; empty where there is no source tree."""
    environment_sha256: str = ""
    """SHA-256 over the sorted lines ``name==version`` of everything installed."""
    machine: Machine = Field(default_factory=Machine)
    elsewhere: list[Elsewhere] = Field(default_factory=list)
    """Where the draws were computed, if on a cluster; empty: on ``machine``."""
    seeds: list[int] = Field(default_factory=list)
    settings: dict[str, str | bool | int | float | None] = Field(default_factory=dict)


def collect(
    *,
    seeds: Sequence[int] = (),
    settings: Mapping[str, str | bool | int | float | None] | None = None,
    places: Sequence[tuple[str, Machine]] = (),
    now: datetime | None = None,
) -> Provenance:
    """The record of this process.

    Args:
        seeds: Seeds of the run.
        settings: What was chosen, flat.
        places: Host and machine of every job that was computed on a cluster.
        now: Time of the record; the clock of this machine where left out.
    """
    root = source_root()
    commit, modified = _git(root)
    installed = _installed()
    return Provenance(
        created=(now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        version=asic_reservoir.__version__,
        commit=commit,
        modified=modified,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: installed[name] for name in LIBRARIES if name in installed},
        lock_sha256=_sha256_of_file(root / "requirements.lock") if root else "",
        environment_sha256=_environment_hash(),
        machine=machine(),
        elsewhere=_elsewhere(places),
        seeds=[int(seed) for seed in seeds],
        settings=dict(settings or {}),
    )


def _elsewhere(places: Sequence[tuple[str, Machine]]) -> list[Elsewhere]:
    """Machines that are alike are one entry: hosts have no names here."""
    kinds: dict[str, list[tuple[str, Machine]]] = {}
    for host, one in places:
        kinds.setdefault(one.model_dump_json(), []).append((host, one))
    return [
        Elsewhere(machine=found[0][1], hosts=len({host for host, _ in found}), jobs=len(found))
        for _, found in sorted(kinds.items())
    ]


def source_root() -> Path | None:
    """Folder of the source tree that this package runs from; ``None`` for an installed wheel."""
    folder = Path(asic_reservoir.__file__).resolve().parent.parent
    return folder if (folder / "pyproject.toml").is_file() else None


def machine() -> Machine:
    """The computer that this process runs on."""
    import psutil
    from threadpoolctl import threadpool_info

    blas = {
        f"{pool['internal_api']} {pool.get('version') or ''} {pool.get('architecture') or ''}".strip()
        for pool in threadpool_info()
        if pool.get("user_api") == "blas"
    }
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        cpu=_cpu_name(),
        cores=os.cpu_count() or 0,
        memory_bytes=int(psutil.virtual_memory().total),
        blas=sorted(blas),
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass  # not Linux: the platform's own word is all there is
    return platform.processor()


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    """Name (lower case) and version of every installed distribution."""
    return {
        name.lower(): distribution.version
        for distribution in distributions()
        if (name := distribution.metadata["Name"])
    }


def _environment_hash() -> str:
    lines = "\n".join(f"{name}=={version}" for name, version in sorted(_installed().items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _sha256_of_file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _git(root: Path | None) -> tuple[str, bool]:
    """Commit of the source tree and whether tracked files differ from it; empty where git cannot say."""
    if root is None or not (root / ".git").exists():
        return "", False

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False
        )

    try:
        head = run("rev-parse", "HEAD")
        if head.returncode != 0:
            return "", False
        return head.stdout.strip(), run("diff", "--quiet", "HEAD", "--").returncode == 1
    except (OSError, subprocess.TimeoutExpired):
        return "", False
