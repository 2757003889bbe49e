"""What the app imports: which modules of this repository must be there for it to run, and which packages of others."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OWN = ("space", "jax_models", "seq2seq")


@dataclass(frozen=True)
class Imports:
    """What a module brings in.

    Attributes:
        modules: files of this repository by module name.
        packages: top-level names of other people's packages, each with the first module that imports it.
    """

    modules: dict[str, Path]
    packages: dict[str, str]


def reachable(root: Path, *entries: str) -> Imports:
    """Everything that `entries` can come to import, found by reading, without running.

    Files count also when they are imported inside a function. Packages that `jax_models` and `seq2seq` import only
    inside functions do not: those serve training and data, which the app never asks of them.

    Args:
        root: the folder that holds the packages.
        entries: the modules to start from.
    """
    modules: dict[str, Path] = {}
    packages: dict[str, str] = {}
    waiting, seen = [(entry, True) for entry in entries], set()
    while waiting:
        name, needed = waiting.pop()
        path = _file(root, name)
        if path is None or (name, needed) in seen or (name, True) in seen:
            continue
        seen.add((name, needed))
        modules[name] = path
        if "." in name:
            waiting.append((name.rpartition(".")[0], needed))
        for imported, deferred in _imports(path):
            wanted = needed and (not deferred or name.partition(".")[0] == "space")
            top = imported.partition(".")[0]
            if top in OWN:
                waiting.append((imported, wanted))
            elif wanted and top not in sys.stdlib_module_names:
                packages.setdefault(top, name)
    return Imports(dict(sorted(modules.items())), dict(sorted(packages.items())))


def _file(root: Path, module: str) -> Path | None:
    path = root / module.replace(".", "/")
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Names that a file imports, each with whether it does so inside a function; of `from a import b` also `a.b`."""
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), False)]
    while waiting:
        node, deferred = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, deferred
            yield from ((f"{node.module}.{alias.name}", deferred) for alias in node.names)
        inside = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting.extend((child, inside) for child in ast.iter_child_nodes(node))
