"""Fields of a NamedTuple are explained once, under Args: Python's own "Alias for field number 0" is left out."""


def quiet(app, what, name, obj, options, lines):
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app):
    app.connect("autodoc-process-docstring", quiet)
    return {"parallel_read_safe": True}
