"""The exercises of each chapter as a notebook to solve: `make exercises`.

An exercise of a chapter is a block `{exercise}`, then a block
`{solution-start}`, text, code cells, and a block `{solution-end}`. What a
chapter must keep to: the last statements of the solution that hold an assert
are its check, and they use a name that the statements before them define. The
reader gets the check and these names without their values, and of the chapter's
code no more than they need.
"""

import ast
import builtins
import re
import symtable
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nbformat
from convnotes.files import replacing
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from execute import ROOT, notebooks_of_the_book, say_how_to_install

OUT = ROOT / "_build" / "exercises"
ROLE = re.compile(r"\{[\w:.]+\}`([^`<]*?)(?: *<[^`]*>)?`")
QUESTION = re.compile(
    r"```\{exercise\} *(.*)\n:label: (\S+)\n(.*?)```", flags=re.DOTALL
)
SCOPES = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.GeneratorExp)
SCOPES += (ast.ListComp, ast.SetComp, ast.DictComp)


@dataclass
class Exercise:
    """Its text, what solves it, the check, and the names that it asks for."""

    title: str
    text: str
    solution: str
    check: str
    names: list[str]

    def placeholder(self) -> str:
        """The names that the reader has to define, without their values."""
        heads = {
            node.name: ast.get_source_segment(self.solution, node)
            for node in ast.parse(self.solution).body
            if isinstance(node, ast.FunctionDef)
        }
        lines = ["# Your answer: what the check below asks for"]
        for name in self.names:
            if name in heads:
                head = re.match(r"def .*?\).*?:\n", heads[name], re.DOTALL)[0]
                lines.append(f"{head}    ...\n\n")
            else:
                lines.append(f"{name} = ...")
        return "\n".join(lines).rstrip()


def exercises(notebook: nbformat.NotebookNode) -> Iterator[Exercise]:
    """Those of a chapter, in its order."""
    asked = {
        label: (title, ROLE.sub(r"\1", text.strip()))
        for cell in notebook.cells
        for title, label, text in QUESTION.findall(cell.source)
    }
    for label, code in _solutions(notebook):
        if label:
            statements = ast.parse(code).body
            count = len(statements)
            while count and _checks(statements[count - 1]):
                count -= 1
            solution, check = statements[:count], statements[count:]
            lines = code.splitlines()
            cut = _start(check[0]) if check else len(lines)
            defined = set().union(*map(_bound, solution))
            yield Exercise(
                *asked[label],
                "\n".join(lines[:cut]).rstrip(),
                "\n".join(lines[cut:]),
                sorted(defined & _free(check)),
            )


def _solutions(notebook) -> Iterator[tuple[str, str]]:
    """(label, code) of each solution; ("", code) of each cell before it."""
    label, parts = "", []
    for cell in notebook.cells:
        start = re.search(r"\{solution-start\} (\S+)", cell.source)
        if cell.cell_type == "code":
            if label:
                parts.append(cell.source)
            else:
                yield "", cell.source
        elif start:
            label, parts = start[1], []
        elif "{solution-end}" in cell.source:
            yield label, "\n\n\n".join(parts)
            label = ""


def _start(statement: ast.stmt) -> int:
    """The number of lines above a statement."""
    decorators = getattr(statement, "decorator_list", [])
    return min(node.lineno for node in [statement, *decorators]) - 1


def _checks(statement: ast.stmt) -> bool:
    """Whether it holds an assert, or a call such as `assert_close`."""
    calls = (n.func for n in ast.walk(statement) if isinstance(n, ast.Call))
    names = (getattr(f, "attr", getattr(f, "id", "")) for f in calls)
    return any(name.startswith("assert_") for name in names) or any(
        isinstance(node, ast.Assert) for node in ast.walk(statement)
    )


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement, without those of inner scopes."""
    yield node
    if not isinstance(node, SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _own(child)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    found = set()
    for node in _own(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
    return found


def _used(statement: ast.AST) -> set[str]:
    """The names that a statement takes from outside of itself."""
    if isinstance(statement, (ast.For, ast.If, ast.While, ast.With)):
        heads = [
            getattr(statement, part)
            for part in ("iter", "test")
            if hasattr(statement, part)
        ]
        heads += [item.context_expr for item in getattr(statement, "items", [])]
        inner = _free(statement.body) | _free(getattr(statement, "orelse", []))
        targets = [getattr(statement, "target", None)]
        targets += [i.optional_vars for i in getattr(statement, "items", [])]
        given = set().union(*(_bound(t) for t in targets if t is not None))
        return set().union(inner - given, *map(_used, heads))
    top = symtable.symtable(ast.unparse(statement), "", "exec")
    found, tables = set(), [top]
    for table in tables:
        tables += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                found.add(symbol.get_name())
    return found


def _free(statements: list[ast.stmt]) -> set[str]:
    """The names that some statements need and do not define before."""
    found, defined = set(), set()
    for statement in statements:
        found |= _used(statement) - defined
        defined |= _bound(statement)
    return found


def _changed(statement: ast.stmt) -> set[str]:
    """The names whose objects it may change: `x[0] = 1`, `zeros_(x)`."""
    found = set()
    for node in _own(statement):
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            found |= _roots(node) if isinstance(node.ctx, ast.Store) else set()
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value.func
            found |= _roots(call)
            name = getattr(call, "attr", getattr(call, "id", ""))
            if name.endswith("_"):
                found |= set().union(*map(_roots, node.value.args))
    return found


def _roots(node: ast.AST) -> set[str]:
    """`x` of `x.y[0].z()`."""
    while not isinstance(node, ast.Name):
        node = getattr(node, "value", getattr(node, "func", None))
        if node is None:
            return set()
    return {node.id}


def needed(cells: list[str], code: str) -> list[str]:
    """Of some cells, the statements that `code` needs, in their order."""
    late, before = _free(ast.parse(code).body), set()
    while late != before:  # a function sees the names as they are at its call
        before = set(late)
        kept = _needed(cells, late)
    return kept


def _needed(cells: list[str], late: set[str]) -> list[str]:
    trees = [ast.parse(source).body for source in cells]
    imports = (ast.Import, ast.ImportFrom)
    given = set(dir(builtins)).union(
        *(_bound(s) for tree in trees for s in tree if isinstance(s, imports))
    )
    wanted, kept = set(late), []
    for source, tree in zip(reversed(cells), reversed(trees), strict=True):
        shown = tree[-1:] if tree and isinstance(tree[-1], ast.Expr) else []
        lines, parts = source.splitlines(), []
        for statement in reversed(tree):
            text = "\n".join(lines[_start(statement) : statement.end_lineno])
            bound = _bound(statement)
            touched = bound | _changed(statement) - given
            seeds = parts and text.startswith("torch.manual_seed(")
            if isinstance(statement, ast.Assert) or statement in shown:
                continue
            if not (seeds or touched & wanted):
                continue
            parts.append(text)
            if isinstance(statement, (ast.Assign, ast.FunctionDef, *imports)):
                wanted -= bound
            wanted |= _used(statement)
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                late |= _used(statement)
        if parts:
            kept.append(_spaced(parts[::-1]))
    return kept[::-1]


def _spaced(parts: list[str]) -> str:
    """Statements one below the other, functions with room around them."""
    text = parts[0]
    for above, below in pairwise(parts):
        apart = above.startswith(("def ", "class ", "@"))
        apart |= below.startswith(("def ", "class ", "@"))
        text += ("\n\n\n" if apart else "\n") + below
    return text


def setup(notebook: nbformat.NotebookNode) -> list[str]:
    """The code of a chapter that its exercises need, cell by cell."""
    solved = "\n".join(e.solution + "\n" + e.check for e in exercises(notebook))
    above = [code for label, code in _solutions(notebook) if not label]
    return needed(above, solved)


def to_solve(path: Path) -> nbformat.NotebookNode:
    """The exercises of a chapter without their solutions."""
    notebook = nbformat.read(path, as_version=4)
    title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
    page = path.relative_to(ROOT / "book").with_suffix("")
    head = (
        f"# Exercises: {title}\n\nThey belong to the chapter `{page}`, which "
        "also has a solution of each. Run the first cells; they hold what the "
        "exercises need of the chapter. A check fails until its answer is right."
    )
    cells = [new_markdown_cell(head), *map(new_code_cell, setup(notebook))]
    for exercise in exercises(notebook):
        text = f"## {exercise.title}\n\n{exercise.text}"
        cells += [
            new_markdown_cell(text),
            new_code_cell(exercise.placeholder()),
            new_code_cell(f"# Check\n{exercise.check}"),
        ]
    for number, cell in enumerate(cells):
        cell["id"] = f"{path.stem}-exercises-{number}"
    kernel = {"kernelspec": notebook.metadata["kernelspec"]}
    made = new_notebook(cells=cells, metadata=kernel)
    say_how_to_install(made)
    return made


def main() -> int:
    for path in notebooks_of_the_book():
        notebook = nbformat.read(path, as_version=4)
        if any(exercises(notebook)):
            target = OUT / path.relative_to(ROOT / "book")
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as part:
                nbformat.write(to_solve(path), part)
    return 0


if __name__ == "__main__":
    sys.exit(main())
