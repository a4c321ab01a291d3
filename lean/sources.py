"""The Lean sources as text: modules and their imports, theorems, and the words that no proof may use."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIBRARY = "AsicReservoir"
INDEX = FOLDER / "theorems.toml"

# fmt: off
FORBIDDEN = frozenset([
    # what proves without a proof
    "axiom", "sorry", "admit", "native_decide", "bv_decide", "native", "sorryAx", "ofReduceBool", "ofReduceNat",
    "reduceBool", "reduceNat", "trustCompiler", "lcProof", "lcUnreachable", "unsafeCast", "stop",
    # what changes the meaning of code or of words behind the reader's back
    "unsafe", "implemented_by", "extern", "csimp", "opaque", "partial", "macro", "macro_rules", "elab",
    "elab_rules", "syntax", "declare_syntax_cat", "notation", "infix", "infixl", "infixr", "prefix", "postfix",
    "simproc",
    # what runs programs, or reaches into the checker
    "run_cmd", "run_elab", "run_meta", "run_tac", "by_elab", "initialize", "builtin_initialize", "eval", "meta",
    "set_option", "addDecl", "skipKernelTC", "debug", "Elab", "Meta",
])
# fmt: on
"""Refused as words of the syntax: in comments and strings they are only words."""

_TOKEN = re.compile(
    r"""(?P<string>r\#*"|"(?:\\.|[^"\\])*")
      | (?P<char>'(?:\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)|[^'\\])')
      | (?P<word>(?:«[^»]*»|[^\W\d][\w'!?₀-₉]*)(?:\.(?:«[^»]*»|[^\W\d][\w'!?₀-₉]*))*)""",
    re.VERBOSE | re.DOTALL,
)


class SourceError(Exception):
    """A source breaks a rule; one line that names file, line and rule."""


@dataclass(frozen=True, slots=True)
class Word:
    """An identifier or keyword with its place."""

    text: str
    line: int
    position: int


def without_comments(text: str) -> str:
    """``text`` with every comment blanked, nested ones too; strings and line breaks stay.

    >>> without_comments('a /- b /- c -/ d -/ e -- f')
    'a                   e     '
    """
    out, i, depth = list(text), 0, 0
    while i < len(text):
        if text.startswith("/-", i):
            depth, step = depth + 1, 2
        elif depth and text.startswith("-/", i):
            step = 2
        elif depth:
            step = 1
        elif text.startswith("--", i):
            end = text.find("\n", i)
            step = (end if end >= 0 else len(text)) - i
        elif text[i] in "\"'r" and (token := _TOKEN.match(text, i)) and token.lastgroup != "word":
            i = _end_of_string(text, token)
            continue
        elif (token := _TOKEN.match(text, i)) is not None:
            i = token.end()
            continue
        else:
            i += 1
            continue
        for k in range(i, min(i + step, len(text))):
            out[k] = "\n" if text[k] == "\n" else " "
        if depth and text.startswith("-/", i):
            depth -= 1
        i += step
    return "".join(out)


def _end_of_string(text: str, token: re.Match[str]) -> int:
    opening = token.group()
    if not opening.startswith("r"):
        return token.end()
    end = text.find('"' + opening[1:-1], token.end())
    return len(text) if end < 0 else end + len(opening) - 1


def words(text: str) -> Iterator[Word]:
    """Identifiers and keywords of the syntax: comments, strings and characters left out.

    >>> [w.text for w in words('x -- axiom')]
    ['x']
    """
    bare, i = without_comments(text), 0
    while (token := _TOKEN.search(bare, i)) is not None:
        if token.lastgroup == "word":
            yield Word(token.group(), bare.count("\n", 0, token.start()) + 1, token.start())
            i = token.end()
        else:
            i = _end_of_string(bare, token)


def forbidden_words(text: str) -> list[Word]:
    """Words that no proof may use, in whatever part of a name they stand."""
    return [
        Word(part, word.line, word.position)
        for word in words(text)
        for part in (piece.strip("«»") for piece in re.split(r"\.(?![^«]*»)", word.text))
        if part in FORBIDDEN
    ]


@dataclass(frozen=True, slots=True)
class Module:
    """A module with its text and the modules of ours that it imports."""

    name: str
    text: str
    imports: tuple[str, ...]


def read_modules(folder: Path = FOLDER) -> list[Module]:
    """All modules of the library, an imported one before those that import it.

    Raises:
        SourceError: a forbidden word, an import of something else, a missing ``module`` header, a circle.
    """
    found = {}
    for path in sorted((folder / LIBRARY).glob("*.lean")):
        text, name = path.read_text(encoding="utf-8"), f"{LIBRARY}.{path.stem}"
        place = f"{path.parent.name}/{path.name}"
        imports = tuple(re.findall(r"^[^\n]*\bimport\s+(?:all\s+)?(\S+)", without_comments(text), re.MULTILINE))
        for target in imports:
            if not target.startswith(f"{LIBRARY}."):
                raise SourceError(f"{place}: import of {target}, must be a module of {LIBRARY}")
        for word in forbidden_words(text):
            raise SourceError(f"{place}:{word.line}: {word.text!r} is not allowed in a proof")
        if not without_comments(text).lstrip().startswith("module"):
            raise SourceError(f"{place}: must begin with `module`, so that both ways of building agree")
        found[name] = Module(name, text, imports)
    ordered: list[Module] = []
    while len(ordered) < len(found):
        done = {module.name for module in ordered}
        ready = [m for n, m in found.items() if n not in done and all(i in done for i in m.imports)]
        if not ready:
            raise SourceError(
                f"imports of {', '.join(sorted(set(found) - done))}: a circle, or a module that is not there"
            )
        ordered += ready
    return ordered


@dataclass(frozen=True, slots=True)
class Theorem:
    """A theorem in a source. ``stated``: it has a docstring, so it is a statement and not a step of a proof."""

    name: str
    stated: bool
    source: str


def theorems(text: str) -> list[Theorem]:
    """The theorems of a source, with their full names.

    >>> [t.name for t in theorems("namespace A\\ntheorem b : True := trivial\\nend A")]
    ['A.b']
    """
    bare, spaces, found = without_comments(text), [], []
    pattern = re.compile(r"^(?:(namespace|end)\s+(\S+)|((?:\w+[ ]+)*)theorem\s+(\S+))", re.MULTILINE)
    for match in pattern.finditer(bare):
        if match[1] == "namespace":
            spaces.append(match[2])
        elif match[1] == "end":
            if spaces and spaces[-1] == match[2]:
                spaces.pop()
        else:
            stated = (
                text[: match.start()].rstrip().endswith("-/") and "\n\n" not in text[: match.start()].rsplit("-/", 1)[1]
            )
            source = re.split(r"\n\s*\n", text[match.start() :], maxsplit=1)[0]
            found.append(Theorem(".".join([*spaces, match[4]]), stated, source))
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the index: what a theorem says, and what code or report speaks of the same thing."""

    name: str
    says: str
    code: tuple[str, ...]


def read_index(path: Path = INDEX) -> dict[str, Entry]:
    """The index of theorems that a report may cite.

    Raises:
        SourceError: not the form that it must have.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["theorem"]
        entries = [Entry(row["name"], row["says"], tuple(row.get("code", ()))) for row in rows]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise SourceError(f"{path.name}: {error}, must be tables [[theorem]] with name, says and code") from error
    twice = {entry.name for entry in entries if sum(other.name == entry.name for other in entries) > 1}
    if twice:
        raise SourceError(f"{path.name}: {', '.join(sorted(twice))} more than once")
    return {entry.name: entry for entry in entries}


def check_index(modules: list[Module], index: dict[str, Entry], repository: Path = FOLDER.parent) -> None:
    """Every stated theorem is in the index, and the index names only such.

    Raises:
        SourceError: one is missing, gone, or relied on by a file that is not there.
    """
    stated = {t.name for module in modules for t in theorems(module.text) if t.stated}
    for name in sorted(stated - set(index)):
        raise SourceError(f"{INDEX.name}: {name} is stated in the sources, must be in the index")
    for name in sorted(set(index) - stated):
        raise SourceError(f"{INDEX.name}: {name} is no stated theorem of the sources")
    for entry in index.values():
        for code in entry.code:
            if not (repository / code).exists():
                raise SourceError(f"{INDEX.name}: {entry.name} is tied to {code}, which is not there")
