"""What is checked of the proofs before Lean runs: words, imports, index, vectors."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.tpf.report_parts import THEOREMS
from lean import mutants, vectors
from lean.sources import (
    FOLDER,
    Entry,
    Module,
    SourceError,
    check_index,
    forbidden_words,
    read_index,
    read_modules,
    theorems,
    without_comments,
)

CHAPTERS = "Distribution Leakage Predictability Energy Identity Handshake Numbers EchoState Lease VirtualBlocks Frames"


@pytest.mark.parametrize(
    "source",
    [
        "axiom convenient : 1 = 2",
        "theorem t : 1 = 2 := by sorry",
        "theorem t : 1 = 2 := sorryAx _ true",
        "theorem t : x := by native_decide",
        "theorem t : x := by decide +native",
        "theorem t : x := Lean.ofReduceBool _ _ rfl",
        "@[implemented_by f] def g := 1",
        '@[extern "c"] def g := 1',
        "unsafe def g := 1",
        "set_option warningAsError false",
        "set_option debug.skipKernelTC true in theorem t : x := y",
        'macro "trivially" : tactic => `(tactic| skip)',
        "/- a comment -/ axiom a : False",
        "/- nested /- comment -/ -/ axiom a : False",
        '"a string -- with dashes" axiom a : False',
        '"an escaped \\" quote" axiom a : False',
        "'\"' axiom a : False",
        'r#"raw " string"# axiom a : False',
        "def f' := 1\naxiom a : False",
        "#eval IO.println 1",
        "theorem «a b».sorry : x := y",
    ],
)
def test_forbidden_words_are_found(source: str) -> None:
    assert forbidden_words(source)


@pytest.mark.parametrize(
    "source",
    [
        "-- no axiom, no sorry",
        "/- sorry /- axiom -/ unsafe -/",
        "/-- An axiom in a docstring. -/ theorem t : True := trivial",
        'def s := "sorry, axiom"',
        'def s := "/- " ++ "axiom" ++ " -/"',
        'def s := r"axiom \\"',
        "def axiomatic := 1",
        "def sorry' := 1",
        "def «not sorry» := 1",
        "def c := '\"' -- axiom",
    ],
)
def test_words_in_comments_strings_and_longer_names_are_only_words(source: str) -> None:
    assert forbidden_words(source) == []


@given(st.text(alphabet="-/\"'r#\\ \nax«».", max_size=40))
def test_blanking_comments_keeps_every_line_and_place(text: str) -> None:
    bare = without_comments(text)
    assert len(bare) == len(text)
    assert bare.count("\n") == text.count("\n")


def test_every_chapter_is_there_and_abides_by_the_rules() -> None:
    names = {module.name.removeprefix("AsicReservoir.") for module in read_modules()}
    assert names == {*CHAPTERS.split(), "Vectors"}


def test_index_and_sources_name_the_same_statements() -> None:
    check_index(read_modules(), read_index())


def test_a_renamed_theorem_breaks_the_index() -> None:
    modules, index = read_modules(), read_index()
    with pytest.raises(SourceError, match=r"Energy\.free_lunch is no stated theorem"):
        check_index(modules, index | {"Energy.free_lunch": Entry("Energy.free_lunch", "", ())})
    index.pop("Energy.no_free_lunch")
    with pytest.raises(SourceError, match=r"Energy\.no_free_lunch is stated"):
        check_index(modules, index)


def test_an_import_from_outside_the_library_is_refused(tmp_path) -> None:
    (tmp_path / "AsicReservoir").mkdir()
    (tmp_path / "AsicReservoir" / "A.lean").write_text("module\n\npublic import Lean.Elab\n")
    with pytest.raises(SourceError, match=r"A\.lean: import of Lean\.Elab"):
        read_modules(tmp_path)


def test_names_follow_namespaces() -> None:
    text = (
        "open A\n\n/-- Said. -/\ntheorem a : x := y\n\n"
        "namespace B.C\n\nprivate theorem d : x := y\n\nend B.C\n\ntheorem e : x := y\n"
    )
    found = theorems(text)
    assert [(t.name, t.stated) for t in found] == [("a", True), ("B.C.d", False), ("e", False)]
    assert found[1].source.strip() == "private theorem d : x := y"


def test_vectors_are_what_the_python_computes_now() -> None:
    assert vectors.PATH.read_text(encoding="utf-8") == vectors.document()


def test_an_axiom_is_seen_where_lean_would_accept_it() -> None:
    words = forbidden_words((FOLDER / "refused" / "Axiom.lean").read_text(encoding="utf-8"))
    assert [(word.text, word.line) for word in words] == [("axiom", 5)]


def test_ten_mutants_each_change_one_statement() -> None:
    modules = read_modules()
    right, wrong = mutants.batch(modules, mutated=False), mutants.batch(modules, mutated=True)
    assert len(wrong.places) >= 10
    assert right.places == wrong.places
    before, after = right.text.splitlines(), wrong.text.splitlines()
    for first, last in wrong.places.values():
        changed = [i for i in range(first - 1, last) if before[i] != after[i]]
        assert len(changed) == 1


def test_a_mutant_without_an_error_of_its_own_survives() -> None:
    messages = "Mutated.lean:12:4: error: unsolved goals\nMutated.lean:31:0: error: x"
    assert mutants.refused(messages, "Mutated", (10, 14))
    assert not mutants.refused(messages, "Mutated", (15, 30))


def test_a_module_says_what_it_imports() -> None:
    predictability = next(m for m in read_modules() if m.name.endswith("Predictability"))
    assert isinstance(predictability, Module)
    assert predictability.imports == ("AsicReservoir.Distribution", "AsicReservoir.Leakage")


def test_theorems_that_the_code_cites_are_in_the_index() -> None:
    """A citation is a name in backticks, ``Energy.no_free_lunch``; a renamed theorem breaks who relies on it."""
    index = read_index()
    chapters = "|".join(CHAPTERS.split())
    cited = {
        (str(path.relative_to(FOLDER.parent)), name)
        for package in ("asic_reservoir", "firmware_bridge", "drivers", "api")
        for path in (FOLDER.parent / package).rglob("*.py")
        for name in re.findall(rf"`((?:{chapters})(?:\.[A-Z]\w+)*\.[a-z]\w+)`", path.read_text(encoding="utf-8"))
    }
    assert ("asic_reservoir/lease_model.py", "Lease.live_count_le_one") in cited
    assert {name for _, name in cited} <= set(index), sorted(cited)


def test_theorems_that_a_report_of_the_filter_cites_are_in_the_index() -> None:
    cited = re.findall(r"[a-z]+(?:_[a-z]+)+", THEOREMS)
    assert len(cited) >= 3
    assert {f"Energy.{name}" for name in cited} <= set(read_index())
