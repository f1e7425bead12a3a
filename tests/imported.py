"""What code a script runs, read from the imports: files, and the packages that dvc.yaml lists for a stage."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("emotions", "stages", "vlm")
UNLISTED = (
    "emotions/__init__.py",
    "emotions/command.py",
    "emotions/knobs.py",
    "emotions/runtime",
    "stages/__init__.py",
    "vlm/__init__.py",
)
"""What decides no number (tests/test_house.py): neither it nor what it imports is a dependency of a stage."""


def module_files(name: str) -> list[str]:
    """The repository file of a dotted module name (empty for third-party modules)."""
    base = name.replace(".", "/")
    return [f for f in (f"{base}.py", f"{base}/__init__.py") if (ROOT / f).is_file()]


def imports(file: str) -> set[str]:
    """Repository files that `file` imports, wherever in the file the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] in FOLDERS:
                for depth in range(1, len(parts) + 1):
                    found.update(module_files(".".join(parts[:depth])))
    return found


def closure(file: str, opaque: tuple[str, ...] = ()) -> set[str]:
    """`file` and all repository files that it imports in the end; of the rooms in `opaque`, what they import
    does not count."""
    seen: set[str] = set()
    todo = [file]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(imports(current) if room(current) not in opaque else ())
    return seen


def room(file: str) -> str:
    """The package of a file, `emotions/training`; the file itself where it lies in no room."""
    parts = file.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else file


def code_dependencies(script: str) -> set[str]:
    """What dvc.yaml has to list of code for a stage: its script and the packages it imports in the end."""
    return {room(file) for file in closure(script, UNLISTED)} - set(UNLISTED)
