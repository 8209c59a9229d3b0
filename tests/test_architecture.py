"""Who may import whom, read from the syntax tree of every file of the package."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "convnotes"

LAYERS = {"fundamentals", "compression", "receptive_field", "operations", "beyond"}

# The room (a file or a folder of the package) → the rooms it may import. A layer may also import an earlier chapter.
MAY_IMPORT = {
    "__init__": set(),
    "checks": {"geometry"},
    "files": set(),
    "geometry": set(),
    "definitions": set(),
    "kernels": set(),
    "fundamentals": {"kernels"},
    "compression": {"kernels", "fundamentals"},
    "parameters": set(),
    "receptive_field": {"kernels", "parameters", "fundamentals", "compression"},
    "operations": {"kernels", "parameters", "fundamentals", "compression", "receptive_field"},
    "beyond": {"kernels", "fundamentals", "compression", "operations"},
    "measure": set(),
    "data": set(),
    "pretrained": {"data"},
    "train": {"plots"},
    "plots": set(),
    "page": {"lattice", "measure", "plots"},
    "widgets": {"plots", *LAYERS},
    "lattice": {"measure"},
    "bench": {"kernels", "measure", *LAYERS},
    "designs": {"kernels", "measure", "data", "train", *LAYERS},
}

# The ground floor: every room above may import it.
GROUND = {"checks", "files", "geometry"}

# Inside a part a chapter may import the chapters before it.
CHAPTERS = {
    "fundamentals": ["activation", "layer", "initialisation", "depthwise", "multi_scale", "freezing", "transfer"],
    "compression": [
        *("pointwise", "factorised", "inception", "separable_conv", "separable"),
        *("squeezenet", "residual", "small_kernels"),
    ],
    "receptive_field": ["gridding", "dilated", "splat", "synapses", "active", "deformable", "non_local"],
    "operations": ["cifar_resnet", "shift", "active_shift", "adder", "quantized_adder"],
    "beyond": [
        *("fusing", "reparameterise", "large_kernels", "convnext", "replknet"),
        *("dynamic", "involution", "rednet", "dcn_layouts", "deformable_aggregation", "dcn"),
        *("cheap_features", "ghostnet", "fasternet", "shift_add"),
    ],
}

# What the package may import from outside at the top of a file: everything else is imported where it is used.
CORE = {"torch", "numpy"}
OPTIONAL_AT_TOP = {"widgets": {"anywidget", "traitlets"}, "kernels": {"triton", "numba", "llvmlite"}}

# Every room may import this file, the only one that may use what is private in torch and numba.
PRIVATE = "convnotes.kernels.private"
# Names that begin with an underscore and are none of that: public ones of named tuples and of numba's guide to
# extending it, and one of torchvision, which the benchmark asks whether it has operators.
NOT_MEANT = {"_replace", "_asdict", "_fields", "_make", "_getvalue", "_has_ops"}

FILES = sorted(PACKAGE.rglob("*.py"))


def imports_of(tree: ast.Module) -> list[tuple[str, bool]]:
    """(dotted name, at the top of the file?) of every import."""
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or node.module, "write the module that is imported from"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            alone = [name for name in whole if name == PRIVATE or node.module == "convnotes"]
            others = ["." * node.level + (node.module or "")] if len(alone) < len(whole) else []
            found += [(name, id(node) in top) for name in (*alone, *others)]
    return found


def absolute(name: str, file: Path) -> str:
    """`.kit` in convnotes/widgets/base.py is convnotes.widgets.kit."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parents = file.relative_to(PACKAGE.parent).with_suffix("").parts[:-level]
    return ".".join([*parents, name.lstrip(".")])


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrows_run_one_way(file):
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    room, chapter = parts[0], parts[1] if len(parts) > 1 else None
    assert room in MAY_IMPORT, f"{room} is no room of the house: give it a line in MAY_IMPORT"
    for name, _ in imports_of(ast.parse(file.read_text())):
        target = absolute(name, file).split(".")
        if target[0] != "convnotes" or len(target) == 1 or ".".join(target) == PRIVATE:
            continue
        if target[1] != room:
            assert target[1] in MAY_IMPORT[room] | (set() if room in GROUND else GROUND), (
                f"{file.name} imports {name}: {room} may not import {target[1]}"
            )
        elif room in CHAPTERS and chapter != "__init__" and len(target) > 2:
            order = CHAPTERS[room]
            assert order.index(target[2]) < order.index(chapter), f"{chapter} may not import the later {target[2]}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_only_the_core_is_imported_at_the_top(file):
    room = file.relative_to(PACKAGE).with_suffix("").parts[0]
    for name, at_top in imports_of(ast.parse(file.read_text())):
        package = absolute(name, file).split(".")[0]
        if at_top and package not in CORE | OPTIONAL_AT_TOP.get(room, set()) | {"convnotes"}:
            assert package in sys.stdlib_module_names, f"{file.name} imports {package} at its top"


def names_of_others(tree: ast.Module) -> dict[str, str]:
    """The names in a file that stand for a module, or for something in one, with what they stand for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname or a.name.split(".")[0]: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


@functools.cache
def names_of_ours() -> set[str]:
    """What the package itself calls so: functions, classes, and whatever it assigns."""
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and file.stem != "private":
                found.add(node.attr)
    return found


def private_names(tree: ast.Module, ours: set[str]) -> list[str]:
    """The private names of torch and numba in a file, and those of objects that may be theirs."""
    of = names_of_others(tree)
    theirs = {name for name, whole in of.items() if whole.split(".")[0] in ("torch", "numba", "llvmlite", "triton")}
    found = [whole for name, whole in of.items() if name in theirs and re.search(r"\._(?!_)", whole)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match("_(?!_)", node.attr) and node.attr not in NOT_MEANT:
            root = ast.unparse(node).split(".")[0]
            if root in theirs or (root not in of and node.attr not in ours):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_what_is_private_in_torch_and_numba_is_used_in_one_file(file):
    found = private_names(ast.parse(file.read_text()), names_of_ours())
    assert bool(found) == (file.name == "private.py"), f"{file.name} uses {', '.join(found)}"


@pytest.mark.parametrize(
    "line",
    [
        "import torch; torch._C._has_storage(x)",
        "import torch.utils._pytree",
        "from torch.utils._pytree import tree_leaves",
        "from torch.nn.modules.module import _has_any_global_hook",
        "from numba.core import types; types._something",
        "x._is_zerotensor()",
        "f(y)._cdata",
        "self.loop._cache",
    ],
)
def test_a_private_name_is_found_wherever_it_stands(line):
    assert private_names(ast.parse(line), {"_ours"})
    assert not private_names(ast.parse("self._ours = row._replace(a=1); super().__init__()"), {"_ours"})


def test_no_import_goes_round_in_a_circle():
    """Every import counts, also one inside a function."""
    names = {file: ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in FILES}
    modules = {name.removesuffix(".__init__"): file for file, name in names.items()}
    needs = {}
    for name, file in modules.items():
        tree, found = ast.parse(file.read_text()), set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module in modules:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= whole & modules.keys() or {node.module}
        needs[name] = found - {name}
    graphlib.TopologicalSorter(needs).prepare()  # raises CycleError


def test_no_file_holds_more_than_one_sitting():
    for file in FILES:
        assert len(file.read_text().splitlines()) <= 300, f"{file} is longer than one sitting: one idea a file"


def imported_modules(statement: str) -> set[str]:
    """Modules that a statement imports, by `python -X importtime`."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True
    )
    rows = [line.removeprefix("import time:").split("|") for line in run.stderr.splitlines() if "|" in line][1:]
    return {name.strip() for _, _, name in rows}


def test_importing_convnotes_costs_torch_and_nothing_more():
    """Which modules, not how long: `python -m convnotes.bench --op start` measures that."""
    modules = imported_modules("import torch\nimport convnotes.compression.pointwise")
    for heavy in (
        "matplotlib",
        "ipywidgets",
        "anywidget",
        "sklearn",
        "skimage",
        "accelerate",
        "numba",
        "triton",
    ):
        assert heavy not in modules, f"importing convnotes imports {heavy}"
    more = {name.split(".")[0] for name in modules - imported_modules("import torch")}
    assert more - set(sys.stdlib_module_names) == {"convnotes"}


def test_the_compilers_are_imported_by_the_first_call_that_needs_them():
    layers = "import convnotes.operations.adder, convnotes.operations.shift, convnotes.receptive_field.deformable"
    layers += ", convnotes.compression.separable, convnotes.kernels.backend"
    modules = imported_modules(f"import torch\n{layers}")
    assert "convnotes.kernels.adder.operator" in modules
    files = ("adder.in_numba", "adder.in_triton", "shift_pointwise.in_triton", "cpu.jobs", "gpu.launch")
    for compiler in ("numba", "llvmlite", "triton", *(f"convnotes.kernels.{file}" for file in files)):
        assert compiler not in modules, f"importing the layers imports {compiler}"


@pytest.mark.parametrize("order", ["{layers}; {counter}", "{counter}; {layers}"], ids=["before", "after"])
def test_torch_s_counter_knows_the_operators_whenever_it_is_imported(order):
    layers = "import convnotes.operations.shift, convnotes.receptive_field.deformable, convnotes.compression.separable"
    program = order.format(layers=layers, counter="from torch.utils.flop_counter import flop_registry")
    program += "\nprint(sorted(str(op) for op in flop_registry if 'convnotes' in str(op)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    names = ("deform_conv2d", "deform_conv2d_backward", "depthwise_conv2d", "depthwise_conv2d_backward", "shift")
    assert all(f"'convnotes.{name}'" in found for name in (*names, "shift_pointwise")), found


def test_every_public_name_is_there_and_a_wrong_one_is_refused_by_name():
    import convnotes

    for name in convnotes.__all__:
        assert getattr(convnotes, name) is not None
        assert name in dir(convnotes)
    with pytest.raises(AttributeError, match=r"no attribute 'Conv3d'.*MLPConv"):
        _ = convnotes.Conv3d
