"""Which module may import which."""

from tests.imports import ROOT, imported


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
