"""What code a stage runs: the files of this repository that its script imports, directly or through others.

Usage: python -m tools.closure          prints the code dependencies of every stage, as dvc.yaml lists them
       python -m tools.closure --write  puts them into dvc.yaml and vlm/dvc.yaml
"""

import argparse
import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("rafce", "stages", "vlm")
PIPELINES = {"stages": "dvc.yaml", "vlm": "vlm/dvc.yaml"}
"""Folder of stage scripts -> the file that lists them."""
TEMPLATES = {"rafce/report.py": "rafce/templates", "rafce/wording.py": "rafce/templates"}
"""Files that a module reads beside the code it imports."""


def module_files(name: str) -> list[str]:
    """The repository file of a dotted module name (empty for third-party modules and plain packages)."""
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


def closure(file: str) -> list[str]:
    """`file`, all repository files it imports in the end, and the templates they read; sorted."""
    seen: set[str] = set()
    todo = [file]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(imports(current))
    return sorted(seen | {TEMPLATES[f] for f in seen if f in TEMPLATES})


def with_code_deps(text: str) -> str:
    """dvc.yaml with the code dependencies of every stage replaced by the closure of its script."""
    lines, script, out, skipping = text.splitlines(), "", [], False
    for line in lines:
        command = re.search(r"cmd: \S+ -m ((?:stages|vlm)\.\w+)", line)
        script = command[1].replace(".", "/") + ".py" if command else script
        if re.match(r"\s+- (rafce|stages|vlm)/\S+\.py$|\s+- rafce/templates$", line) and skipping:
            continue
        skipping = bool(re.match(r"\s+deps:", line)) or (skipping and line.lstrip().startswith("- "))
        out.append(line)
        if re.match(r"\s+deps:\s*$", line):
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            out.extend(f"{indent}- {f}" for f in closure(script))
    return "\n".join(out) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="rewrite the code dependencies in dvc.yaml")
    write = parser.parse_args().write
    for folder, pipeline in PIPELINES.items():
        if write:
            (ROOT / pipeline).write_text(with_code_deps((ROOT / pipeline).read_text()))
            continue
        for script in sorted((ROOT / folder).glob("[!_]*.py")):
            print(f"{folder}.{script.stem}:")
            for file in closure(f"{folder}/{script.name}"):
                print(f"  - {file}")


if __name__ == "__main__":
    main()
