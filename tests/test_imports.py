"""Which module may import which."""

from graphlib import TopologicalSorter

from tests.imports import ALLOWED, APART, LIBRARIES, ROOT, arrows, drawing, imported, product, under


def test_imports_run_along_the_arrows_of_the_table() -> None:
    drawn = arrows()
    wrong = [
        f"{module} imports {there}"
        for here, row in drawn.items()
        for there, modules in row.items()
        for module in sorted(modules)
        if there not in ALLOWED.get(here, ())
    ]
    assert not wrong, "\n".join(wrong)
    assert {here: set(drawn.get(here, ())) for here in ALLOWED} == ALLOWED, (
        "the table allows what nobody does"
    )


def test_each_client_library_is_known_to_its_connector_alone() -> None:
    known = {library: set[str]() for library in LIBRARIES}
    for module, names in product().items():
        for library in LIBRARIES:
            if any(under(name, library) for name in names):
                known[library].add(module)
    assert all(known.values()), f"in the table, but nobody needs it: {known}"
    wrong = [
        f"{module} imports {library}"
        for library, modules in known.items()
        for module in sorted(modules)
        if not under(module, LIBRARIES[library])
    ]
    assert not wrong, "\n".join(wrong)


def test_the_roles_know_nothing_of_each_others_steps() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, names in product().items()
        for here, others in APART.items()
        if under(module, here)
        for name in sorted(names)
        if any(under(name, other) for other in others)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_rooms_import_each_other_in_a_circle() -> None:
    TopologicalSorter(ALLOWED).prepare()


def test_the_architecture_has_the_drawing() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert f"```mermaid\n{drawing()}\n```" in text, f"it is now\n{drawing()}"


def test_nobody_imports_a_module_of_tests() -> None:
    """They are for pytest to run; what tests share has a module of its own, with a plain name."""
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in ROOT.glob("tests/**/test_*.py")
    }
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for room in ("tests", "lab")
        for file in (ROOT / room).rglob("*.py")
        for name in imported(file)
        if name in modules
    ]
    assert modules
    assert not wrong
