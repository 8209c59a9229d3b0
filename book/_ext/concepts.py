"""The general index is one of concepts: the names of the package have a page of their own, and the search."""

from sphinx import addnodes
from sphinx.transforms import SphinxTransform


class Concepts(SphinxTransform):
    """Names that autodoc puts into the index are taken out before it is made."""

    default_priority = 800  # Sphinx collects the entries at 850

    def apply(self, **kwargs):
        for node in list(self.document.findall(addnodes.index)):
            of_code = isinstance(
                node.next_node(siblings=True, descend=False), addnodes.desc
            )
            if of_code or any(
                entry[2].startswith("module-") for entry in node["entries"]
            ):
                node["entries"] = []


def setup(app):
    app.add_transform(Concepts)
    return {"parallel_read_safe": True}
