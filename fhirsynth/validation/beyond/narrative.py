"""Narratives: the XHTML that FHIR lets into `Narrative.div`, judged as HL7's own validator does.

Source: FHIR R4, narrative.html (invariants txt-1 and txt-2, and what the text around them asks), and the lists of
elements, attributes and places of HL7's XhtmlValidator. Stricter than that in one thing: a div that is no
well-formed XML (two roots, text behind the end, attributes without quotes) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from fhirsynth.validation.findings import Issue

XHTML = "http://www.w3.org/1999/xhtml"
_TAG = f"{{{XHTML}}}"
_XML = "{http://www.w3.org/XML/1998/namespace}"


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_ELEMENTS = _set(
    "p br div h1 h2 h3 h4 h5 h6 a span b em i strong small big tt dfn q var abbr acronym cite blockquote hr address "
    "bdo kbd sub sup ul ol li dl dt dd pre table caption colgroup col thead tr tfoot tbody th td code samp img map area"
)
_ATTRIBUTES = _set(
    "title style class id lang dir accesskey tabindex span width align valign char charoff abbr axis headers scope "
    f"rowspan colspan {_XML}lang {_XML}space"
)
_ATTRIBUTES_OF = {
    "a": _set("href name charset type hreflang rel rev shape coords"),
    "area": _set("shape coords href nohref alt"),
    "blockquote": _set("cite"),
    "img": _set("src alt longdesc height width usemap ismap border"),
    "map": _set("name"),
    "pre": _set("space"),
    "q": _set("cite"),
    "table": _set("summary width border frame rules cellspacing cellpadding"),
    "td": _set("nowrap"),
}
_NOTHING: frozenset[str] = frozenset()

#: Elements whose content is text: no block may stand anywhere in them. Those of the first kind nest in no other
#: of the same name.
_INLINE = _set("a b em i strong small big sub sup code tt dfn q var abbr acronym cite bdo kbd samp")
_OF_TEXT = _INLINE | _set("p h1 h2 h3 h4 h5 h6 pre address span caption dd dt")
_BLOCKS = _set("div pre table ul ol")
_NOT_IN_P = _set("div blockquote table ol ul p")
_EMPTY = _set("br img hr area")
_CHILDREN = {
    "table": _set("tbody tr caption thead tfoot col colgroup"),
    "tr": _set("td th"),
    "tbody": _set("tr"),
    "thead": _set("tr"),
    "tfoot": _set("tr"),
    "ul": _set("li"),
    "ol": _set("li"),
    "dl": _set("dd dt"),
    "map": _set("area"),
}
_PARENTS = {
    "tr": _set("table thead tfoot tbody"),
    "tbody": _set("table"),
    "thead": _set("table"),
    "tfoot": _set("table"),
    "caption": _set("table"),
    "colgroup": _set("table"),
    "col": _set("table colgroup"),
    "th": _set("tr thead tfoot"),
    "td": _set("tr thead tfoot"),
    "li": _set("ul ol"),
    "dd": _set("dl"),
    "dt": _set("dl"),
}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ACTIVE = _set("javascript vbscript")
_NO_LINKS = _set("urn cid")
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);)")
_MARKUP = re.compile(r"<[^>]*>")

_MOST, _LONGEST = 20_000, 1_000
_fine: set[str] = set()


class Links(NamedTuple):
    """What a narrative refers to inside its resource (`#x` without the #), and the ids and anchors in it."""

    to: tuple[str, ...]
    ids: frozenset[str]


def check(value: Any) -> list[Issue] | None:
    """`narrative` [error]: the div is XHTML as FHIR wants it; an id twice, or a status that it belies [warning]."""
    if type(value) is not dict:
        return None
    div = value.get("div")
    if type(div) is not str or not div:
        return None
    status = value.get("status")
    if div in _fine:
        return _belied(div) if status == "empty" else None
    wrong = html_checks(div)
    if wrong is not None:
        return [Issue("div", "narrative", wrong, "XHTML of the elements and attributes that FHIR lets in")]
    twice = _twice(div) if ' id="' in div or " id='" in div or "name" in div else ""
    if twice:
        return [Issue("div", "narrative", f"the id {twice} twice", "each id once", "warning")]
    if len(div) <= _LONGEST and len(_fine) < _MOST:
        _fine.add(div)
    return _belied(div) if status == "empty" else None


def _belied(div: str) -> list[Issue] | None:
    """A narrative whose status says that there is no text (NarrativeStatus `empty`), and yet tells much."""
    text = _MARKUP.sub("", div)
    if len(text) <= 200 and "<img" not in div and "<table" not in div:
        return None
    said = f"empty, with {len(text)} characters of text"
    return [Issue("status", "narrative", said, "generated, extensions or additional", "warning")]


def html_is_fine(div: Any) -> bool:
    """FHIRPath's htmlChecks(): whether a div holds by txt-1 and txt-2."""
    return isinstance(div, str) and (div in _fine or html_checks(div) is None)


def html_checks(div: str) -> str | None:
    """The first thing that is wrong in a div; None where it is fine."""
    root = _read(div)
    return root if isinstance(root, str) else next(_faults(root), None)


def links(div: str) -> Links:
    """What a narrative refers to inside its resource. Nothing for one that cannot be read."""
    root = _read(div)
    if isinstance(root, str):
        return Links((), frozenset())
    to, ids = [], set()
    for element in root.iter(f"{_TAG}*"):
        for name in ("href", "src"):
            target = element.get(name, "")
            if target.startswith("#") and len(target) > 1:
                to.append(target[1:])
        ids.update(_names(element))
    return Links(tuple(to), frozenset(ids))


def _twice(div: str) -> str:
    root = _read(div)
    seen: set[str] = set()
    if not isinstance(root, str):
        for element in root.iter(f"{_TAG}*"):
            for name in _names(element):
                if name in seen:
                    return name
                seen.add(name)
    return ""


def _names(element: etree._Element) -> set[str]:
    """The id of an element, and its name where it is an anchor."""
    found = {element.get("id")}
    if element.tag == f"{_TAG}a":
        found.add(element.get("name"))
    return {name for name in found if name}


def _read(div: str) -> etree._Element | str:
    """The root of a div, or why it cannot be read. Nothing outside the text is loaded, no entity is put in."""
    if "<!DOCTYPE" in div:
        return "a document type declaration"
    # Many narratives are deep or long without being an attack: there is no DTD, so nothing can grow.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    try:
        return etree.fromstring(div.encode(), parser)
    except UnicodeEncodeError:
        return "characters that are none (half of a pair)"
    except etree.XMLSyntaxError as error:
        entity = _ENTITY.search(div)
        if entity:
            return f"{div[entity.start() :][:12]!r}: an entity that is not of XML, or & instead of &amp;"
        return f"not well-formed XML: {error.msg or 'it cannot be read'}"


def _faults(root: etree._Element) -> Iterator[str]:
    """What is wrong in a div that could be read, from its beginning on."""
    if root.tag != f"{_TAG}div":
        space, _, name = root.tag.rpartition("}")
        if name == "div":
            yield f"a div of the namespace {space[1:] or 'none'}, not of {XHTML}"
        else:
            yield f"a {name} as the root, not a div"
        return
    has_content = False
    names: list[str] = []  # from the root to the element at hand
    texts: list[int] = []  # places in `names` of elements whose content is text
    for event, element in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event in ("comment", "pi"):
            has_content |= _is_text(element.tail) and bool(names)
            continue
        if event == "end":
            names.pop()
            if texts and texts[-1] == len(names):
                texts.pop()
            has_content |= _is_text(element.tail) and bool(names)
            continue
        tag = element.tag
        if not tag.startswith(_TAG):
            yield f"the element {tag.rpartition('}')[2]} of another namespace than {XHTML}"
            return
        name = tag[len(_TAG) :]
        yield from _element_faults(name, element, names, texts)
        has_content |= name == "img" or _is_text(element.text)
        if name in _OF_TEXT:
            texts.append(len(names))
        names.append(name)
    if not has_content:
        yield "no text and no image"


def _element_faults(name: str, element: etree._Element, names: list[str], texts: list[int]) -> Iterator[str]:
    if name not in _ELEMENTS:
        yield f"the element {name}"
    for attribute, value in element.attrib.items():
        if attribute not in _ATTRIBUTES and attribute not in _ATTRIBUTES_OF.get(name, _NOTHING):
            yield f"the attribute {attribute.rpartition('}')[2]} of {name}"
        elif attribute in ("href", "src") and (wrong := _link_fault(str(value), attribute)):
            yield f"{attribute} {str(value)[:60]!r}, {wrong}"
    if name in _EMPTY and (len(element) or _is_text(element.text)):
        yield f"{name} with something in it"
    if not names:
        return
    parent = names[-1]
    if parent in _CHILDREN and name not in _CHILDREN[parent]:
        yield f"{name} in {parent}"
    if name in _PARENTS and parent not in _PARENTS[name]:
        yield f"{name} in {parent}"
    if texts:
        if name in _BLOCKS:
            yield f"the block {name} in {names[texts[-1]]}"
        if name in _NOT_IN_P and any(names[place] == "p" for place in texts):
            yield f"the block {name} in p"
        if name in _INLINE and any(names[place] == name for place in texts):
            yield f"{name} in {name}"
    if name in _CHILDREN and (_is_text(element.text) or any(_is_text(child.tail) for child in element)):
        yield f"text between the parts of {name}"


def _link_fault(target: str, attribute: str) -> str:
    if not target:
        return "which is empty" if attribute == "href" else ""
    if any(c.isspace() for c in target) and not target.startswith("data:"):
        return "which has spaces"
    scheme = _SCHEME.match(target)
    kind = scheme[1].lower() if scheme else ""
    if kind in _ACTIVE:
        return "which runs a program"
    return "to which no link can lead" if kind in _NO_LINKS and attribute == "href" else ""


def _is_text(text: str | None) -> bool:
    """Whether a text has anything but XML's white space; a no-break space counts, as it does for HL7."""
    return text is not None and bool(text.strip(" \t\r\n"))
