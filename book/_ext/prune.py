"""Leave out of a style sheet, of highlighted code and of drawings what has no effect in this book."""

import re

import tinycss2

NAMES = re.compile(r"[.#]((?:[\w-]|\\.)+)")
INSIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
NESTED = {"media", "supports", "layer", "container"}
BEGUN = re.compile(
    r"([a-zA-Z][\w-]*-)(?=\$\{|[\"'`]\s*\+)"
)  # of a name that a script puts together: `bs-${name}`
CODE = re.compile(r'<div class="highlight"><pre>.*?</pre>', re.DOTALL)
SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.DOTALL)
PART = re.compile(r'<span class="(?:n|p|pre|w)">([^<]*)</span>')
GROUP = re.compile(r"<g\b([^>]*)>\s*|</g>\s*")
COLOUR = re.compile(
    r'html\[data-theme="(\w+)"\] \.highlight(?: \.(\w+))? \{(?: [^}]*;)? color: (#\w+) \}'
)


def without_unused(css, pages, scripts):
    """The rules whose classes and ids are words of the pages or scripts; selectors in brackets are not looked at."""
    words = set(re.findall(r"[\w-]+", pages + scripts))
    begun = tuple(set(BEGUN.findall(scripts)))

    def used(selector):
        while (outer := INSIDE.sub("", selector)) != selector:
            selector = outer
        names = (name.replace("\\", "") for name in NAMES.findall(selector))
        return all(name in words or name.startswith(begun) for name in names)

    def kept(rules):
        for rule in rules:
            if rule.type == "qualified-rule":
                if selectors := list(filter(used, _selectors(rule))):
                    body = tinycss2.serialize(rule.content).strip()
                    yield f"{','.join(selectors)}{{{body}}}"
            elif rule.type == "at-rule" and rule.lower_at_keyword in NESTED:
                inner = tinycss2.parse_rule_list(
                    rule.content, skip_comments=True, skip_whitespace=True
                )
                if body := "\n".join(kept(inner)):
                    prelude = tinycss2.serialize(rule.prelude)
                    yield f"@{rule.at_keyword}{prelude}{{{body}}}"
            else:
                yield rule.serialize()

    rules = tinycss2.parse_stylesheet(
        css, skip_comments=True, skip_whitespace=True
    )
    return "\n".join(kept(rules))


def _selectors(rule):
    selector = []
    for token in [*rule.prelude, ","]:
        if token == ",":
            yield tinycss2.serialize(selector).strip()
            selector = []
        else:
            selector.append(token)


def plain_classes(css):
    """Classes of highlighted code that have its own colour in every theme, such as names and brackets."""
    colours = {}
    for theme, name, colour in COLOUR.findall(css):
        colours.setdefault(theme, {})[name] = colour
    return set.intersection(
        *(
            {name for name, colour in of.items() if name and colour == of[""]}
            for of in colours.values()
        )
    )


def without_plain_spans(page, plain):
    span = re.compile(rf'<span class="(?:{"|".join(plain)})">([^<]*)</span>')
    return CODE.sub(lambda code: span.sub(r"\1", code[0]), page)


def without_parts_of_signatures(page):
    """Sphinx marks each name, bracket and blank of a signature, twice and more; nothing styles these marks."""

    def plain(signature):
        text = signature[0]
        while (outer := PART.sub(r"\1", text)) != text:
            text = outer
        return text

    return SIGNATURE.sub(plain, page)


def without_bare_groups(page):
    """A group of a drawing that has no attribute changes nothing; what stands in it stays."""
    bare = []  # whether each of the groups that are open is one

    def kept(tag):
        if not tag[0].startswith("</"):
            if tag[1].endswith("/"):
                return tag[0] if tag[1] != "/" else ""
            bare.append(not tag[1].strip())
            return "" if bare[-1] else tag[0]
        return "" if bare.pop() else tag[0]

    return GROUP.sub(kept, page)
