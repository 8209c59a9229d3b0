"""Read the package's docstrings as they are written: plain paragraphs, `code` in single backticks, indented equations.

reStructuredText wants a double colon before a literal block; the docstrings have none, so it is put in here.
"""

import re


def literal_equations(app, what, name, obj, options, lines):
    """Put `::` before each indented block that follows an empty line."""
    out, inside = [], False
    for number, line in enumerate(lines):
        indented = bool(re.match(r" {4,}\S", line))
        if (
            indented
            and not inside
            and (number == 0 or not lines[number - 1].strip())
            and not _in_arguments(lines, number)
        ):
            out += ["::", ""]
            inside = True
        elif line.strip() and not indented:
            inside = False
        out.append(line)
    lines[:] = out


def _in_arguments(lines, number):
    """Is the line part of an `Args:` section?"""
    for line in reversed(lines[:number]):
        if line.strip() and not line.startswith(" "):
            return line.rstrip().endswith(":")
    return False


def setup(app):
    app.connect("autodoc-process-docstring", literal_equations)
    return {"parallel_read_safe": True}
