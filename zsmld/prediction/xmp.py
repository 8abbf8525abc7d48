"""The keywords of an XMP document (ISO 16684-1); what else it holds is left as it is.

Keywords stand in `dc:subject`. Some programs have lists of their own beside it, with the tree that a keyword is in, and
do not look at `dc:subject` where there is such a list: darktable reads `lr:hierarchicalSubject` first, digiKam each of
those below in turn. So a list that is there gets our keywords too; one that is not there is not begun.

Which keywords are ours is kept in `zsmld:subject`. One that is taken back is taken back from all lists, as programs
copy keywords from one to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lxml import etree

from zsmld.errors import InputError
from zsmld.labels.vocabulary import canonical

META = "adobe:ns:meta/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
# No address, only a text that nobody else has; exiv2 wants a slash at its end.
OURS = "http://ns.zsmld/1.0/"

SUBJECT = f"{{{DC}}}subject"
CLAIMED = f"{{{OURS}}}subject"
# Lists of paths in a tree of keywords, and what stands between the parts of a path.
TREES = {
    "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject": "|",
    "{http://www.digikam.org/ns/1.0/}TagsList": "/",
    "{http://ns.microsoft.com/photo/1.0/}LastKeywordXMP": "/",
    "{http://ns.iview-multimedia.com/mediapro/1.0/}CatalogSets": "|",
}
_RDF, _DESCRIPTION, _ABOUT, _ITEM, _VALUE = (
    f"{{{RDF}}}{name}" for name in ("RDF", "Description", "about", "li", "value")
)
_ARRAYS = tuple(f"{{{RDF}}}{name}" for name in ("Bag", "Seq", "Alt"))
_ROOTS = (f"{{{META}}}xmpmeta", f"{{{META}}}xapmeta", _RDF)
_PREFIXES = {"dc": DC, "zsmld": OURS}
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_INDENT = " "


def empty() -> Any:
    """The root element of a document without keywords."""
    root = etree.Element(_ROOTS[0], nsmap={"x": META})
    rdf = etree.SubElement(root, _RDF, nsmap={"rdf": RDF})
    etree.SubElement(rdf, _DESCRIPTION, {_ABOUT: ""}, nsmap=_PREFIXES)
    etree.indent(root, _INDENT)
    return root


def merge(root: Any, keywords: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Let a document hold these keywords, and of those that an earlier call has added no others.

    A keyword that is there already, in whatever spelling (`canonical`), is not added: somebody else wrote it, and it
    does not become ours. One of ours that somebody has moved into a tree of keywords is ours no longer.

    Args:
        root: element of the document, which is changed in place.
        keywords: no two the same under `canonical`, without characters that XML cannot hold.

    Returns:
        The keywords that were added, those that were taken back, and whether the document is another now.

    Raises:
        InputError: it is no XMP, or holds keywords in a form that is no list.
    """
    rdf = root if root.tag == _RDF else root.find(_RDF)
    if root.tag not in _ROOTS or rdf is None:
        raise InputError("is no XMP: rdf:RDF in x:xmpmeta was expected")
    claimed = _List(rdf, CLAIMED)
    trees = [_List(rdf, tag, mark) for tag, mark in TREES.items()]
    lists = [_List(rdf, SUBJECT), *(tree for tree in trees if tree.texts())]

    ours, wanted = dict.fromkeys(claimed.texts()), set(keywords)
    stale = [text for text in ours if text not in wanted]
    adopted = set[str]().union(*(each.keys_below() for each in lists))
    taken = [text for text in stale if canonical(text) not in adopted]
    # From all lists, whichever of them has it.
    gone = set[str]().union(*[each.remove(taken) for each in lists])

    keys = [each.keys() for each in lists]
    new = {text: None for text in keywords if text not in ours and not any(canonical(text) in each for each in keys)}
    added = []
    for text in keywords:
        lacking = [each for each, known in zip(lists, keys, strict=True) if canonical(text) not in known]
        if lacking and (text in ours or text in new):
            added.append(text)
            for each in lacking:
                each.add(text)
    claimed.drop(stale)
    for text in new:
        claimed.add(text)
    removed = tuple(text for text in taken if text in gone)
    return tuple(added), removed, bool(added or removed or stale)


class _List:
    """A list of texts: a property that stands anywhere in a document, in any of the forms that XMP has for it.

    Args:
        rdf: the element `rdf:RDF`.
        tag: of the property, with its namespace.
        mark: what stands between the parts of a path; None for a list without paths.
    """

    def __init__(self, rdf: Any, tag: str, mark: str | None = None) -> None:
        self.rdf, self.tag, self.mark = rdf, tag, mark
        for element in self._properties():
            is_text = not any(isinstance(child.tag, str) for child in element) and set(element.attrib) <= {_LANGUAGE}
            if _array(element) is None and not is_text:
                raise InputError(f"holds a {element.prefix}:{etree.QName(tag).localname} that is no list of keywords")

    def texts(self) -> list[str]:
        """What the list holds, as it is written."""
        single = [str(element.xpath("string()")) for element in self._properties() if _array(element) is None]
        single += [description.get(self.tag) for description in self._descriptions() if self.tag in description.attrib]
        return [_text(item) for item in self._items()] + [text for text in single if text.strip()]

    def keys(self) -> set[str]:
        """The same under `canonical`; of paths also their last parts."""
        return {canonical(text) for text in self.texts()} | self.keys_below()

    def keys_below(self) -> set[str]:
        """The last parts of paths of several parts, under `canonical`."""
        paths = [text.split(self.mark) for text in self.texts() if self.mark]
        return {canonical(parts[-1]) for parts in paths if len(parts) > 1}

    def add(self, text: str) -> None:
        """Put `text` at the end."""
        self._spell_out()
        arrays = [array for element in self._properties() if (array := _array(element)) is not None]
        array = arrays[0] if arrays else self._begin()
        item = etree.Element(_ITEM)
        item.text = text
        _append(array, item)

    def remove(self, texts: Sequence[str]) -> set[str]:
        """Take each of `texts` out at its last place, where nobody has attached anything to it; which were there."""
        if not set(texts) & set(self.texts()):
            return set()
        self._spell_out()
        last = {_text(item): item for item in self._items() if not item.attrib and not len(item)}
        there = {text: last[text] for text in texts if text in last}
        for item in there.values():
            self._take_out(item)
        return set(there)

    def drop(self, texts: Sequence[str]) -> None:
        """Take `texts` out wherever they are."""
        if not texts:
            return
        self._spell_out()
        unwanted = set(texts)
        for item in self._items():
            if _text(item) in unwanted:
                self._take_out(item)

    def _take_out(self, item: Any) -> None:
        array = item.getparent()
        _remove(item)
        if _last(array) is None and len(array.getparent()) == 1:
            _remove(array.getparent())

    def _descriptions(self) -> list[Any]:
        return list(self.rdf.iterchildren(_DESCRIPTION))

    def _properties(self) -> list[Any]:
        return [element for description in self._descriptions() for element in description.iterchildren(self.tag)]

    def _items(self) -> list[Any]:
        arrays = (_array(element) for element in self._properties())
        return [item for array in arrays if array is not None for item in array.iterchildren(tag=etree.Element)]

    def _begin(self, description: Any = None) -> Any:
        """A new array, in the first description unless another one is given."""
        if description is None:
            if not self._descriptions():
                _append(self.rdf, etree.Element(_DESCRIPTION, {_ABOUT: ""}))
            description = self._descriptions()[0]
        namespace = etree.QName(self.tag).namespace
        # Where the document has a prefix for it, lxml takes that one.
        element = etree.Element(
            self.tag, nsmap={prefix: name for prefix, name in _PREFIXES.items() if name == namespace}
        )
        _append(description, element)
        return _new_array(element)

    def _spell_out(self) -> None:
        """Put a text that stands for an array of one, alone or as an attribute, into an array."""
        for element in self._properties():
            if _array(element) is None:
                text, attributes = str(element.xpath("string()")), dict(element.attrib)
                element.attrib.clear()
                element.text = None
                for comment in element:
                    comment.tail = None
                _put(_new_array(element), text, attributes)
        for description in self._descriptions():
            if self.tag in description.attrib:
                text = description.attrib.pop(self.tag)
                _put(self._begin(description), text, {})


def _array(element: Any) -> Any:
    """The array that a property has as its value, or None."""
    return next(element.iterchildren(*_ARRAYS), None)


def _new_array(element: Any) -> Any:
    array = etree.Element(_ARRAYS[0])
    _append(element, array)
    return array


def _put(array: Any, text: str, attributes: dict[str, str]) -> None:
    if text.strip():
        item = etree.Element(_ITEM, attributes)
        item.text = text
        _append(array, item)


def _text(item: Any) -> str:
    """The text of an item of an array; of one that somebody has attached something to its value."""
    value = next(item.iter(_VALUE), item)
    return str(value.xpath("string()"))


def _append(parent: Any, element: Any) -> None:
    """Put `element` at the end, indented as its neighbours are."""
    depth = sum(1 for _ in parent.iterancestors())
    last = _last(parent)
    if last is None and _is_blank(parent.text):
        parent.text, element.tail = "\n" + _INDENT * (depth + 1), "\n" + _INDENT * depth
    elif last is not None and _is_blank(parent.text) and _is_blank(last.tail):
        # What stood before the end tag still does.
        last.tail, element.tail = parent.text, last.tail
    parent.append(element)


def _remove(element: Any) -> None:
    """Take `element` out, and leave what stands behind it, unless it is no more than an indent."""
    parent, previous, behind = element.getparent(), element.getprevious(), element.tail or ""
    is_last = element.getnext() is None
    parent.remove(element)
    if previous is None:
        parent.text = _joined(parent.text, behind, is_last)
    else:
        previous.tail = _joined(previous.tail, behind, is_last)


def _last(element: Any) -> Any:
    """The last child, or None; len() would count them all."""
    return next(element.iterchildren(reversed=True), None)


def _joined(before: str | None, behind: str, is_last: bool) -> str | None:
    if not _is_blank(behind):
        return (before or "") + behind
    return behind if is_last and _is_blank(before) else before


def _is_blank(text: str | None) -> bool:
    return not (text or "").strip()
