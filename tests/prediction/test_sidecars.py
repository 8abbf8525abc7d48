"""Sidecars as photograph managers write them: merged without loss, taken back, and read by exiftool and exiv2.

What a document holds is looked up with lxml here, independently of the code; the tools are asked where they are
installed.
"""

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from zsmld.errors import EnvironmentFailure, InputError
from zsmld.labels.vocabulary import canonical
from zsmld.prediction import sidecars
from zsmld.prediction.sidecars import Sidecar, write_sidecar

NAMES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "zsmld": "http://ns.zsmld/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "mediapro": "http://ns.iview-multimedia.com/mediapro/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "darktable": "http://darktable.sf.net/",
}
# Lists that hold paths in a tree of keywords, and what separates the parts of a path.
TREES = {
    "lr:hierarchicalSubject": "|",
    "digiKam:TagsList": "/",
    "MicrosoftPhoto:LastKeywordXMP": "/",
    "mediapro:CatalogSets": "|",
}
DECLARED = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in NAMES.items())
# As darktable 4.2 writes it, shortened.
DARKTABLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="{NAMES["rdf"]}">
  <rdf:Description rdf:about=""
    xmlns:xmp="{NAMES["xmp"]}"
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:dc="{NAMES["dc"]}"
    xmlns:lr="{NAMES["lr"]}"
   xmp:Rating="3"
   darktable:xmp_version="5"
   darktable:history_end="1">
   <!-- of a person -->
   <darktable:history>
    <rdf:Seq>
     <rdf:li darktable:num="0" darktable:operation="exposure" darktable:params="gz02eJxjYGBgAGEGhgYGBg=="/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Places</rdf:li>
     <rdf:li>Coast</rdf:li>
     <rdf:li>cliff</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Coast|cliff</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='{NAMES["rdf"]}'/></x:xmpmeta>
<?xpacket end="w"?>"""


def document(inside, *, about=""):
    """A document whose one description holds `inside`."""
    return (
        f'<x:xmpmeta {DECLARED}><rdf:RDF><rdf:Description rdf:about="" {about}>{inside}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )


def bag(tag, *texts, array="Bag"):
    return f"<{tag}><rdf:{array}>{''.join(f'<rdf:li>{text}</rdf:li>' for text in texts)}</rdf:{array}></{tag}>"


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "IMG.jpg"
    path.write_bytes(b"the photograph")
    yield path
    assert path.read_bytes() == b"the photograph"


@pytest.fixture
def sidecar(photo):
    return photo.with_name("IMG.jpg.xmp")


def texts(path, tag="dc:subject"):
    """The items of a list, in the order of the document."""
    root = etree.fromstring(path.read_bytes())
    return [str(item) for item in root.xpath(f"//{tag}/*/rdf:li/text()", namespaces=NAMES)]


def replace(path, tag, old, new):
    """As a person with another program would: one item of a list, by something else or nothing."""
    root = etree.fromstring(path.read_bytes())
    item = next(item for item in root.xpath(f"//{tag}/*/rdf:li", namespaces=NAMES) if item.text == old)
    item.text = new
    if new is None:
        item.getparent().remove(item)
    path.write_bytes(etree.tostring(root))


def rest(data):
    """Everything that is no keyword: the document without lists of keywords, descriptions that are empty without them,
    and white space between tags.
    """
    root = etree.fromstring(data)
    for tag in ("dc:subject", "zsmld:subject", *TREES):
        for element in root.xpath(f"//{tag}", namespaces=NAMES):
            element.getparent().remove(element)
    for description in root.xpath("//rdf:Description", namespaces=NAMES):
        for prefix in ("dc", "zsmld"):
            description.attrib.pop(f"{{{NAMES[prefix]}}}subject", None)
        if not len(description) and set(description.attrib) <= {f"{{{NAMES['rdf']}}}about"}:
            description.getparent().remove(description)
    for element in root.iter():
        if len(element) or element.tag in (f"{{{NAMES['rdf']}}}{name}" for name in ("RDF", "Description")):
            element.text = (element.text or "").strip()
        element.tail = (element.tail or "").strip()
    around = [etree.tostring(node) for node in (*root.itersiblings(preceding=True), *root.itersiblings())]
    return etree.tostring(root, method="c14n"), around


def test_a_new_sidecar(photo, sidecar):
    written = write_sidecar(photo, ["sea", "polar bear"])
    assert written == Sidecar(sidecar, ("sea", "polar bear"), (), created=True)
    assert texts(sidecar) == texts(sidecar, "zsmld:subject") == ["sea", "polar bear"]
    # exiv2 tells a sidecar by its first bytes.
    assert sidecar.read_bytes().startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<x:xmpmeta ')
    assert sorted(path.name for path in photo.parent.iterdir()) == ["IMG.jpg", "IMG.jpg.xmp"]


def test_no_keywords_and_no_sidecar_stay_so(photo, sidecar):
    assert write_sidecar(photo, ["", " \x00"]) == Sidecar(sidecar)
    assert not sidecar.exists()


def test_another_run_takes_back_what_holds_no_more(photo, sidecar):
    write_sidecar(photo, ["sea", "boat"])
    assert write_sidecar(photo, ["dog", "sea"]) == Sidecar(sidecar, ("dog",), ("boat",))
    assert texts(sidecar) == texts(sidecar, "zsmld:subject") == ["sea", "dog"]
    assert write_sidecar(photo, ["Sea"]) == Sidecar(sidecar, ("Sea",), ("sea", "dog"))
    assert write_sidecar(photo, []) == Sidecar(sidecar, (), ("Sea",))
    assert b"subject>" not in sidecar.read_bytes()
    assert write_sidecar(photo, ["sea"]) == Sidecar(sidecar, ("sea",))


def test_what_a_person_wrote_is_never_taken_back(photo, sidecar):
    sidecar.write_text(document(bag("dc:subject", "Sea", "boat", "end")))
    assert write_sidecar(photo, ["sea", "polar_bear", "dog"]).added == ("polar_bear", "dog")
    assert texts(sidecar) == ["Sea", "boat", "end", "polar_bear", "dog"]
    assert texts(sidecar, "zsmld:subject") == ["polar_bear", "dog"]
    # A person writes one of ours once more.
    replace(sidecar, "dc:subject", "boat", "dog")
    assert write_sidecar(photo, []).removed == ("polar_bear", "dog")
    assert texts(sidecar) == ["Sea", "dog", "end"]
    assert write_sidecar(photo, ["dog"]) == Sidecar(sidecar)
    assert write_sidecar(photo, []) == Sidecar(sidecar)
    assert texts(sidecar) == ["Sea", "dog", "end"]


def test_what_somebody_has_attached_something_to_is_not_taken_back(photo, sidecar):
    write_sidecar(photo, ["sea", "boat"])
    sidecar.write_text(sidecar.read_text().replace("<rdf:li>sea", '<rdf:li xml:lang="en">sea', 1))
    assert write_sidecar(photo, []).removed == ("boat",)
    assert texts(sidecar) == ["sea"]
    assert texts(sidecar, "zsmld:subject") == []


def test_one_of_ours_that_a_person_deleted_comes_back_while_it_is_found(photo, sidecar):
    write_sidecar(photo, ["sea", "boat"])
    replace(sidecar, "dc:subject", "sea", None)
    assert write_sidecar(photo, ["sea", "boat"]) == Sidecar(sidecar, ("sea",))
    assert texts(sidecar, "zsmld:subject") == ["sea", "boat"]
    replace(sidecar, "dc:subject", "sea", None)
    # Nothing to take back, but it is no longer ours.
    assert write_sidecar(photo, ["boat"]) == Sidecar(sidecar)
    assert texts(sidecar) == texts(sidecar, "zsmld:subject") == ["boat"]


def test_spellings_of_one_word_are_one_keyword(photo, sidecar):
    assert write_sidecar(photo, ["Polar Bear", "polar_bear", "Cafe\u0301", "caf\xe9"]).added == (
        "Polar Bear",
        "Cafe\u0301",
    )


def test_nothing_is_written_where_nothing_changes(photo, sidecar):
    for content in (None, DARKTABLE, document(bag("dc:subject", "sea", "boat"))):
        if content:
            sidecar.write_text(content)
        write_sidecar(photo, ["sea", "boat"])
        os.utime(sidecar, ns=(10**18, 10**18))
        before = sidecar.read_bytes()
        assert write_sidecar(photo, ["sea", "boat"]) == Sidecar(sidecar)
        assert (sidecar.read_bytes(), sidecar.stat().st_mtime_ns) == (before, 10**18)


def test_a_dry_run_tells_all_and_writes_nothing(photo, sidecar):
    assert write_sidecar(photo, ["sea"], dry_run=True) == Sidecar(sidecar, ("sea",), (), created=True)
    assert not sidecar.exists()
    write_sidecar(photo, ["sea"])
    before = sidecar.read_bytes()
    assert write_sidecar(photo, ["dog"], dry_run=True) == Sidecar(sidecar, ("dog",), ("sea",))
    assert sidecar.read_bytes() == before


def test_a_sidecar_of_darktable_keeps_everything_else(photo, sidecar):
    sidecar.write_text(DARKTABLE)
    assert write_sidecar(photo, ["cliff", "coast", "sea"]) == Sidecar(sidecar, ("sea",))
    after = sidecar.read_text()
    assert rest(after.encode()) == rest(DARKTABLE.encode())
    # darktable looks for this text to know its own.
    assert 'xmlns:darktable="http://darktable.sf.net/"' in after
    assert texts(sidecar) == ["Places", "Coast", "cliff", "sea"]
    assert "     <rdf:li>cliff</rdf:li>\n     <rdf:li>sea</rdf:li>\n    </rdf:Bag>" in after
    # The list that it reads first.
    assert texts(sidecar, "lr:hierarchicalSubject") == ["Places|Coast|cliff", "sea"]
    assert write_sidecar(photo, []).removed == ("sea",)
    assert texts(sidecar, "lr:hierarchicalSubject") == ["Places|Coast|cliff"]
    assert rest(sidecar.read_bytes()) == rest(DARKTABLE.encode())


@pytest.mark.parametrize("tag", TREES)
def test_lists_that_programs_read_first_get_the_keywords_too(photo, sidecar, tag):
    mark = TREES[tag]
    sidecar.write_text(document(bag(tag, f"Nature{mark}Tree", "person", array="Seq")))
    assert write_sidecar(photo, ["tree", "sea", "Person", f"a{mark}b"]).added == ("sea", f"a{mark}b")
    assert texts(sidecar, tag) == [f"Nature{mark}Tree", "person", "sea", f"a{mark}b"]
    assert texts(sidecar) == texts(sidecar, "zsmld:subject") == ["sea", f"a{mark}b"]
    assert write_sidecar(photo, ["tree", "sea", "Person", f"a{mark}b"]) == Sidecar(sidecar)
    # Its program has put one of ours into its tree.
    replace(sidecar, tag, "sea", f"Water{mark}Sea")
    assert write_sidecar(photo, []).removed == (f"a{mark}b",)
    assert (texts(sidecar), texts(sidecar, tag)) == (["sea"], [f"Nature{mark}Tree", "person", f"Water{mark}Sea"])
    assert texts(sidecar, "zsmld:subject") == []


def test_what_a_program_copied_from_us_is_taken_back_with_it(photo, sidecar):
    sidecar.write_text(document(bag("digiKam:TagsList", "me", array="Seq")))
    write_sidecar(photo, ["sea", "boat"])
    assert texts(sidecar, "digiKam:TagsList") == ["me", "sea", "boat"]
    assert write_sidecar(photo, ["sea"]).removed == ("boat",)
    assert (texts(sidecar), texts(sidecar, "digiKam:TagsList")) == (["sea"], ["me", "sea"])
    # One that is ours is put back into a list that lacks it.
    replace(sidecar, "digiKam:TagsList", "sea", None)
    assert write_sidecar(photo, ["sea"]).added == ("sea",)
    assert (texts(sidecar), texts(sidecar, "digiKam:TagsList")) == (["sea"], ["me", "sea"])
    # One that a person has given another name in its program stays.
    replace(sidecar, "digiKam:TagsList", "sea", "Sea")
    replace(sidecar, "dc:subject", "sea", "Sea")
    assert write_sidecar(photo, []) == Sidecar(sidecar)
    assert (texts(sidecar), texts(sidecar, "digiKam:TagsList")) == (["Sea"], ["me", "Sea"])
    assert write_sidecar(photo, ["sea"]) == Sidecar(sidecar)


@pytest.mark.parametrize("inside", ["<rdf:Bag/>", "<rdf:Bag><!-- sea --></rdf:Bag>", "", " \n"])
def test_an_empty_list_is_none_that_is_read_first(photo, sidecar, inside):
    sidecar.write_text(document(f"<lr:hierarchicalSubject>{inside}</lr:hierarchicalSubject>"))
    write_sidecar(photo, ["sea"])
    assert texts(sidecar, "lr:hierarchicalSubject") == []
    assert texts(sidecar) == ["sea"]


@pytest.mark.parametrize(
    "content",
    [
        DARKTABLE,
        document(bag("dc:subject", "a") + "<xmp:Rating>1</xmp:Rating>"),
        document("\n" + bag("dc:subject", "a") + "stray"),
        document(bag("dc:subject", "a").replace("</rdf:li>", "</rdf:li>stray")),
        document(bag("dc:subject", "a").replace("<rdf:li>", "stray<rdf:li>")),
        document("stray", about='xmp:Rating="1"'),
        document("<!-- c -->", about='xmp:Rating="1"'),
        document(bag("dc:subject", "a").replace("<rdf:li>", "<!-- d --><rdf:li>")),
    ],
)
def test_added_and_taken_back_is_as_if_nothing_had_been(photo, sidecar, content):
    """To the last space; also where text stands that no XMP should have."""
    sidecar.write_text(content)
    assert write_sidecar(photo, ["c", "d"]).added == ("c", "d")
    assert texts(sidecar)[-2:] == ["c", "d"]
    assert sidecar.read_text().count("stray") == content.count("stray")
    assert write_sidecar(photo, []).removed == ("c", "d")
    assert etree.canonicalize(sidecar.read_text(), with_comments=True) == etree.canonicalize(
        content, with_comments=True
    )


def test_text_behind_one_of_ours_stays(photo, sidecar):
    write_sidecar(photo, ["sea", "boat", "dog"])
    sidecar.write_text(sidecar.read_text().replace("boat</rdf:li>", "boat</rdf:li>stray", 1))
    assert write_sidecar(photo, ["dog"]).removed == ("sea", "boat")
    assert "stray" in sidecar.read_text()


FORMS = {
    "bag": document(bag("dc:subject", "old", "sea")),
    "sequence": document(bag("dc:subject", "old", "sea", array="Seq")),
    "alternatives": document(bag("dc:subject", "old", "sea", array="Alt")),
    "two descriptions": (
        f'<x:xmpmeta {DECLARED}><rdf:RDF><rdf:Description rdf:about="" xmp:Rating="1"/>'
        f'<rdf:Description rdf:about="">{bag("dc:subject", "old", "sea")}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ),
    "twice": document(bag("dc:subject", "old") + bag("dc:subject", "sea")),
    "rdf alone": f"<rdf:RDF {DECLARED}><rdf:Description>{bag('dc:subject', 'old', 'sea')}</rdf:Description></rdf:RDF>",
    "of old": document(bag("dc:subject", "old", "sea")).replace("x:xmpmeta", "x:xapmeta"),
    "another prefix": document(bag("s:subject", "old", "sea")).replace("xmlns:dc", "xmlns:s"),
    "comments": document(bag("dc:subject", "old<!-- c -->", "<!-- d -->sea", "<!-- e -->")),
    "character data": document(bag("dc:subject", "<![CDATA[old]]>", "se<![CDATA[a]]>")),
    "qualified": document(
        '<dc:subject><rdf:Bag><rdf:li rdf:parseType="Resource"><rdf:value>old</rdf:value><xmp:Label>r</xmp:Label>'
        '</rdf:li><rdf:li xml:lang="en">sea</rdf:li></rdf:Bag></dc:subject>'
    ),
    "attribute": document(bag("dc:subject", "old"), about='dc:subject="sea"'),
    "white space": document(
        "<dc:subject>\n <rdf:Bag>\n\n <rdf:li> old\n</rdf:li> <rdf:li>sea</rdf:li></rdf:Bag> </dc:subject>"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_keywords_come_in(photo, sidecar, form):
    sidecar.write_text(FORMS[form])
    assert write_sidecar(photo, ["sea", "new", "OLD"]) == Sidecar(sidecar, ("new",))
    assert rest(sidecar.read_bytes()) == rest(FORMS[form].encode())
    root = etree.fromstring(sidecar.read_bytes())
    found = root.xpath("//dc:subject//text()[normalize-space()]", namespaces=NAMES)
    joined = "".join(map(str, found)).replace(" ", "").replace("\n", "").replace("r", "", form == "qualified")
    assert sorted(joined) == sorted("oldseanew")
    assert write_sidecar(photo, ["sea", "new", "OLD"]) == Sidecar(sidecar)
    assert write_sidecar(photo, []) == Sidecar(sidecar, (), ("new",))
    assert rest(sidecar.read_bytes()) == rest(FORMS[form].encode())


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (document("", about='dc:subject="old one"'), ["old one"]),
        (document("<dc:subject>old one</dc:subject>"), ["old one"]),
        (document('<dc:subject xml:lang="en">old <!-- c -->one</dc:subject>'), ["old one"]),
        (document("<dc:subject/>"), []),
        (document("<dc:subject><!-- of a person --><rdf:Bag/></dc:subject>"), []),
        (document("<dc:subject> \n</dc:subject>"), []),
        (document("<dc:subject><rdf:Bag/></dc:subject>"), []),
        (document("", about='dc:subject=""'), []),
        (document(""), []),
        (document("<xmp:Rating>1</xmp:Rating>"), []),
        (f"<rdf:RDF {DECLARED}/>", []),
        (PACKET, []),
    ],
)
def test_where_there_is_no_list_yet(photo, sidecar, content, kept):
    sidecar.write_text(content)
    assert write_sidecar(photo, ["sea", "Old One"][: 1 + len(kept)]) == Sidecar(sidecar, ("sea",))
    assert texts(sidecar) == [*kept, "sea"]
    root = etree.fromstring(sidecar.read_bytes())
    assert len(root.xpath("//dc:subject", namespaces=NAMES)) == 1
    assert not root.xpath("//@dc:subject", namespaces=NAMES)
    assert len(root.xpath("//comment()")) == content.count("<!--")
    assert not root.xpath("//dc:subject/text()[normalize-space()]", namespaces=NAMES)
    assert root.xpath("//*[@xml:lang]/text()") == ["old one"] * content.count("xml:lang")
    assert write_sidecar(photo, []).removed == ("sea",)
    assert texts(sidecar) == kept
    assert sidecar.read_text().count("<!--") == content.count("<!--")


def test_a_packet_stays_one(photo, sidecar):
    sidecar.write_text(PACKET)
    write_sidecar(photo, ["sea"])
    lines = sidecar.read_text().splitlines()
    assert lines[0] == '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    assert lines[-1] == '<?xpacket end="w"?>'


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1", "utf-32"])
def test_other_encodings_become_utf_8(photo, sidecar, encoding):
    name = encoding.removesuffix("-sig")
    declared = f'<?xml version="1.0" encoding="{name}"?>' + document(bag("dc:subject", "caf\xe9"))
    sidecar.write_bytes(declared.encode(encoding))
    write_sidecar(photo, ["sea 🐻"])
    assert texts(sidecar) == ["caf\xe9", "sea 🐻"]
    assert "caf\xe9" in sidecar.read_text("utf-8")
    if not name.startswith("utf-16") and name != "utf-32":
        assert sidecar.read_text("utf-8").startswith('<?xml version="1.0" encoding="UTF-8"?>')


def test_our_own_record_in_other_hands(photo, sidecar):
    """Its items doubled, attached to, or as an attribute: after one run it is in order, and stays so."""
    for own in (
        bag("zsmld:subject", "a", "a", "b").replace("<rdf:li>b", '<rdf:li xml:lang="en">b'),
        "<zsmld:subject>a</zsmld:subject>",
    ):
        sidecar.write_text(document(bag("dc:subject", "a", "b", "c") + own))
        assert "a" in write_sidecar(photo, ["d"]).removed
        assert texts(sidecar, "zsmld:subject") == ["d"]
        assert write_sidecar(photo, ["d"]) == Sidecar(sidecar)
    # However often it says so, it stands for one.
    sidecar.write_text(document(bag("dc:subject", "a", "a") + bag("zsmld:subject", "a", "a")))
    assert write_sidecar(photo, []).removed == ("a",)
    assert texts(sidecar) == ["a"]
    sidecar.write_text(document(bag("dc:subject", "a"), about='zsmld:subject="a"'))
    assert write_sidecar(photo, []).removed == ("a",)
    assert "subject" not in sidecar.read_text().partition("RDF>")[2].replace("xmlns", "")


BOMB = '<!DOCTYPE x [<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)) + "]>"
BAD = {
    "empty": (b"", "is no XML: "),
    "zeros": (bytes(512), "is no XML: "),
    "text": (b"Rating: 3\n", "is no XML: "),
    "cut": (DARKTABLE.encode()[:900], "is no XML: "),
    "tail": (document("").encode() + b"<x/>", "is no XML: "),
    "latin 1": (document(bag("dc:subject", "caf\xe9")).encode("latin-1"), "is no XML: "),
    "unknown encoding": (b'<?xml version="1.0" encoding="klingon"?>' + document("").encode(), "is no XML: "),
    "prefix unknown": (document("").replace("xmlns:rdf", "xmlns:other").encode(), "is no X"),
    "control character": (document(bag("dc:subject", "&#1;")).encode(), "is no XML: "),
    "deep": (document("<a>" * 300 + "</a>" * 300).encode(), "is no XML: "),
    "other XML": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is no XMP: rdf:RDF in x:xmpmeta was expected"),
    "RDF elsewhere": (f"<svg {DECLARED}><rdf:RDF/></svg>".encode(), "is no XMP: "),
    "no RDF": (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>', "is no XMP: "),
    "structure": (document("<dc:subject><xmp:a>b</xmp:a></dc:subject>").encode(), "holds a dc:subject that is no list"),
    "resource": (document('<dc:subject rdf:resource="urn:a"/>').encode(), "holds a dc:subject that is no list"),
    "tree": (document("<lr:hierarchicalSubject><a/></lr:hierarchicalSubject>").encode(), "holds a lr:hierarchicalSu"),
    "bomb": ((BOMB + document(bag("dc:subject", "&a11;"))).encode(), "is no XML: "),
    "small bomb": ((BOMB + document(bag("dc:subject", "&a1;"))).encode(), "has a document type declaration"),
    "bomb in an attribute": ((BOMB + document("", about='dc:subject="&a11;"')).encode(), "is no XML: "),
    "entity": (f"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>{document('&a;')}".encode(), "has a document"),
    "document type": (f"<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x'>{document('')}".encode(), "has a document type"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_sidecar_is_left_as_it_is(photo, sidecar, kind):
    data, problem = BAD[kind]
    sidecar.write_bytes(data)
    os.utime(sidecar, ns=(10**18, 10**18))
    for dry_run in (True, False):
        with pytest.raises(InputError) as caught:
            write_sidecar(photo, ["sea"], dry_run=dry_run)
        line = f":{caught.value.line}" if caught.value.line else ""
        assert str(caught.value).startswith(f"{sidecar}{line}: {problem}")
        assert "\n" not in str(caught.value)
        assert ", line" not in str(caught.value)
    assert (sidecar.read_bytes(), sidecar.stat().st_mtime_ns) == (data, 10**18)
    assert sorted(path.name for path in photo.parent.iterdir()) == ["IMG.jpg", "IMG.jpg.xmp"]


def test_malformed_xml_is_told_with_its_line(photo, sidecar):
    sidecar.write_text(DARKTABLE.replace("</rdf:Seq>", "</rdf:Bag>"))
    with pytest.raises(InputError) as caught:
        write_sidecar(photo, ["sea"])
    assert caught.value.line == 1 + DARKTABLE[: DARKTABLE.index("</rdf:Seq>")].count("\n")


def test_other_things_of_that_name(photo, sidecar):
    sidecar.mkdir()
    with pytest.raises(InputError, match=r"IMG\.jpg\.xmp: is a folder"):
        write_sidecar(photo, ["sea"])
    sidecar.rmdir()
    os.mkfifo(sidecar)
    with pytest.raises(InputError, match="no regular file"):
        write_sidecar(photo, ["sea"])
    sidecar.unlink()
    sidecar.symlink_to("nowhere")
    with pytest.raises(InputError, match=r"IMG\.jpg\.xmp: no such file"):
        write_sidecar(photo, ["sea"])


def test_a_file_too_large_to_be_one(photo, sidecar, monkeypatch):
    monkeypatch.setattr(sidecars, "MAX_BYTES", 1000)
    sidecar.write_text(document(" " * 1000))
    with pytest.raises(InputError, match="is larger than"):
        write_sidecar(photo, ["sea"])


def test_a_sidecar_marked_read_only_is_not_replaced(photo, sidecar):
    sidecar.write_text(DARKTABLE)
    sidecar.chmod(0o444)
    for dry_run in (True, False):
        with pytest.raises(EnvironmentFailure, match=r"IMG\.jpg\.xmp: cannot be written: it is read-only"):
            write_sidecar(photo, ["sea"], dry_run=dry_run)
    assert sidecar.read_text() == DARKTABLE
    # Nothing to change, nothing to refuse.
    assert write_sidecar(photo, ["cliff"]) == Sidecar(sidecar)


def test_a_folder_that_cannot_be_written(unprivileged):
    photo = unprivileged / "IMG.jpg"
    photo.touch()
    sidecar = unprivileged / "IMG.jpg.xmp"
    sidecar.write_text(DARKTABLE)
    unprivileged.chmod(0o500)
    try:
        with pytest.raises(EnvironmentFailure) as caught:
            write_sidecar(photo, ["sea"])
        assert str(caught.value).startswith(f"{sidecar}: cannot be written: permission denied")
        assert sidecar.read_text() == DARKTABLE
        assert sorted(path.name for path in unprivileged.iterdir()) == ["IMG.jpg", "IMG.jpg.xmp"]
    finally:
        unprivileged.chmod(0o700)


def test_a_sidecar_that_others_may_not_read_stays_so(photo, sidecar):
    sidecar.write_text(DARKTABLE)
    sidecar.chmod(0o600)
    write_sidecar(photo, ["sea"])
    assert stat.S_IMODE(sidecar.stat().st_mode) == 0o600


def test_links_stay_links(photo, sidecar, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.xmp"
    target.write_text(DARKTABLE)
    sidecar.symlink_to("elsewhere/real.xmp")
    assert write_sidecar(photo, ["sea"]).added == ("sea",)
    assert sidecar.is_symlink()
    assert texts(target)[-1] == "sea"
    # The sidecar of a photograph that is a link is beside the link.
    link = tmp_path / "elsewhere" / "link.jpg"
    link.symlink_to(photo)
    assert write_sidecar(link, ["sea"]).path == tmp_path / "elsewhere" / "link.jpg.xmp"


@pytest.mark.parametrize(
    ("naming", "there", "expected"),
    [
        ("full", (), "IMG.jpg.xmp"),
        ("stem", (), "IMG.xmp"),
        ("full", ("IMG.xmp",), "IMG.xmp"),
        ("stem", ("IMG.jpg.xmp",), "IMG.jpg.xmp"),
        ("full", ("IMG.xmp", "IMG.jpg.xmp"), "IMG.jpg.xmp"),
        ("stem", ("IMG.xmp", "IMG.jpg.xmp"), "IMG.xmp"),
        # A raw file, which cannot be opened here: the reason for such a name.
        ("stem", ("IMG.CR2",), "IMG.xmp"),
        ("full", ("IMG.CR2", "IMG.xmp"), "IMG.xmp"),
        # Two photographs, whose keywords would take each other back.
        ("full", ("IMG.xmp", "IMG.HEIC"), "IMG.jpg.xmp"),
        ("full", ("IMG.xmp", "IMG.JPG"), "IMG.jpg.xmp"),
        ("stem", ("IMG.jpg.xmp", "IMG.png"), "IMG.jpg.xmp"),
    ],
)
def test_names(photo, naming, there, expected):
    for name in there:
        photo.with_name(name).write_text(document(""))
    written = write_sidecar(photo, ["sea"], naming=naming)
    assert written.path.name == expected
    assert written.created == (expected not in there)
    assert sorted(path.name for path in photo.parent.iterdir()) == sorted({"IMG.jpg", expected, *there})


def test_another_name_of_the_photograph_is_no_other_photograph(photo):
    """As on disks where IMG.JPG is IMG.jpg."""
    photo.with_name("IMG.JPG").hardlink_to(photo)
    assert write_sidecar(photo, ["sea"], naming="stem").path.name == "IMG.xmp"


@pytest.mark.parametrize("there", [("IMG.png",), ("IMG.heic", "IMG.xmp")])
def test_two_photographs_cannot_share_a_sidecar(photo, there):
    for name in there:
        photo.with_name(name).write_text(document(""))
    with pytest.raises(InputError) as caught:
        write_sidecar(photo, ["sea"], naming="stem")
    assert str(caught.value).startswith(f"{photo.with_name('IMG.xmp')}: is the sidecar of {there[0]} too")


def test_names_that_are_hard(tmp_path):
    for name in ("no suffix", "two.dots.jpg", "-x.jpg", "[a]*?.jpg", os.fsdecode(b"caf\xe9.jpg"), "a\nb.jpg"):
        photo = tmp_path / name
        photo.touch()
        assert write_sidecar(photo, ["sea"]).path == tmp_path / f"{name}.xmp"
        assert texts(tmp_path / f"{name}.xmp") == ["sea"]
    long = tmp_path / ("x" * 252 + ".jp")
    with pytest.raises(EnvironmentFailure, match="cannot be written: file name too long"):
        write_sidecar(long, ["sea"])


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from([
    "sea", "Sea", "polar bear", "polar_bear", "a|b", "a/b", "<b>", "&amp;", "]]>", "\"'", "🐻\u200d❄️", "日本",
    "e\u0301", "\x00\x0b\x1f\x7f\x85", "\ufffe", "\ud800", "a\nb\tc\rd", "  ",
])  # fmt: skip


def cleaned(keywords):
    """What of the keywords a sidecar can hold, told apart from how the code does it."""
    kept = {}
    for keyword in keywords:
        word = "".join(c if c.isprintable() or ord(c) > 0xA0 else " " for c in keyword)
        word = "".join(" " if 0xD800 <= ord(c) < 0xE000 or ord(c) in (0xFFFE, 0xFFFF) else c for c in word)
        word = " ".join(word.split())
        if word:
            kept.setdefault(canonical(word), word)
    return list(kept.values())


@settings(max_examples=60)
@given(st.lists(WORDS, max_size=8))
def test_any_keywords_are_read_back(keywords):
    with tempfile.TemporaryDirectory() as name:
        photo = Path(name) / "IMG.jpg"
        expected = cleaned(keywords)
        assert list(write_sidecar(photo, keywords).added) == expected
        if expected:
            assert texts(photo.with_name("IMG.jpg.xmp")) == expected
            assert write_sidecar(photo, keywords) == Sidecar(photo.with_name("IMG.jpg.xmp"))


XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=8
)
PERSONS = st.lists(
    st.sampled_from(["sea", "Sea", "boat", "polar bear", "Dog"]) | XML_TEXT.filter(str.strip), max_size=5
)


@st.composite
def foreign_documents(draw):
    """A sidecar of somebody else: any properties, in one description or more, keywords in any form, comments."""
    root = etree.Element(f"{{{NAMES['x']}}}xmpmeta", nsmap={"x": NAMES["x"], "q": "urn:q"})
    rdf = etree.SubElement(root, f"{{{NAMES['rdf']}}}RDF", nsmap={"rdf": NAMES["rdf"]})
    lists = draw(
        st.permutations([("dc", "subject"), ("lr", "hierarchicalSubject"), ("digiKam", "TagsList"), None, None])
    )
    for which in lists[: draw(st.integers(0, 5))]:
        description = etree.SubElement(rdf, f"{{{NAMES['rdf']}}}Description", {f"{{{NAMES['rdf']}}}about": ""})
        for name, text in draw(st.dictionaries(st.sampled_from("abc"), XML_TEXT, max_size=2)).items():
            description.set(f"{{urn:q}}{name}", text)
        if draw(st.booleans()):
            description.append(etree.Comment("kept"))
        for name in draw(st.lists(st.sampled_from("de"), max_size=2)):
            etree.SubElement(description, f"{{urn:q}}{name}").text = draw(XML_TEXT)
        if which:
            element = etree.SubElement(description, f"{{{NAMES[which[0]]}}}{which[1]}")
            array = etree.SubElement(element, f"{{{NAMES['rdf']}}}{draw(st.sampled_from(['Bag', 'Seq']))}")
            for text in draw(PERSONS):
                etree.SubElement(array, f"{{{NAMES['rdf']}}}li").text = text
    if draw(st.booleans()):
        etree.indent(root, draw(st.sampled_from([" ", "\t"])))
    packet = draw(st.booleans())
    before, behind = ('<?xpacket begin="\ufeff" id="a"?>\n', '\n<?xpacket end="w"?>') if packet else ("", "")
    return f"{before}{etree.tostring(root, encoding='unicode')}{behind}"


@settings(max_examples=60)
@given(foreign_documents(), st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
def test_nothing_of_a_foreign_sidecar_is_lost(content, first, second):
    with tempfile.TemporaryDirectory() as name:
        photo = Path(name) / "IMG.jpg"
        path = photo.with_name("IMG.jpg.xmp")
        path.write_text(content)
        tags = ("dc:subject", "lr:hierarchicalSubject", "digiKam:TagsList")
        persons = {tag: texts(path, tag) for tag in tags}
        for keywords in (first, second, second):
            told = write_sidecar(photo, keywords)
            for tag in tags:
                # What was there is there, in its order, and ours behind it.
                assert texts(path, tag)[: len(persons[tag])] == persons[tag]
                assert len(texts(path, tag)) == len(persons[tag]) or tag == "dc:subject" or persons[tag]
            known = [
                canonical(text.split(mark)[-1])
                for tag, mark in zip(tags, "\0|/", strict=True)
                for text in texts(path, tag)
            ]
            known += [canonical(text) for tag in tags for text in texts(path, tag)]
            assert {canonical(word) for word in cleaned(keywords)} <= set(known)
            assert rest(path.read_bytes()) == rest(content.encode())
        assert told == Sidecar(path)
        write_sidecar(photo, [])
        assert {tag: texts(path, tag) for tag in tags} == persons
        assert texts(path, "zsmld:subject") == []


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, len(DARKTABLE) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.data())
def test_a_damaged_sidecar_is_merged_or_left_as_it_is(changes, data):
    content = bytearray(DARKTABLE.encode())
    for at, value in changes:
        content[at] = value
    cut = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as name:
        photo = Path(name) / "IMG.jpg"
        path = photo.with_name("IMG.jpg.xmp")
        path.write_bytes(content[:cut])
        try:
            write_sidecar(photo, ["sea"])
        except InputError as error:
            assert str(error).startswith(f"{path}:")
            assert path.read_bytes() == content[:cut]
        else:
            assert "sea" in texts(path)
            assert write_sidecar(photo, ["sea"]) == Sidecar(path)


HARD = ["sea", "polar bear", 'a < b & "c"', "it's", "🐻‍❄️ bear", "日本", "a, b; c", "a|b", "AC/DC", "caf\xe9"]


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_exiftool(path):
    (record,) = json.loads(run("exiftool", "-json", "-struct", "-XMP-dc:Subject", "-XMP-zsmld:all", str(path)))
    subject = record.get("Subject", [])
    return subject if isinstance(subject, list) else [subject]


def by_exiv2(path, key="Xmp.dc.subject"):
    """The value of a key; the items of a list with commas between them."""
    return run("exiv2", "-PXv", "-K", key, str(path)).removesuffix("\n")


needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
needs_exiv2 = pytest.mark.skipif(shutil.which("exiv2") is None, reason="exiv2 is not installed")


@needs_exiftool
def test_exiftool_reads_what_is_written(photo, sidecar):
    write_sidecar(photo, HARD)
    assert by_exiftool(sidecar) == HARD
    assert "Warning" not in run("exiftool", "-validate", "-warning", "-a", str(sidecar))


@needs_exiftool
def test_a_sidecar_that_exiftool_rewrites_is_merged(photo, sidecar):
    write_sidecar(photo, ["sea", "boat"])
    run(
        "exiftool", "-overwrite_original", "-XMP-dc:Subject+=by hand", "-XMP-lr:HierarchicalSubject=Places|Coast",
        "-XMP-xmp:Rating=4", "-XMP-dc:Description=at sea", str(sidecar),
    )  # fmt: skip
    before = sidecar.read_bytes()
    assert write_sidecar(photo, ["sea", "coast", "dog"]) == Sidecar(sidecar, ("sea", "dog"), ("boat",))
    assert rest(sidecar.read_bytes())[1] == rest(before)[1]
    assert sorted(by_exiftool(sidecar)) == ["by hand", "dog", "sea"]
    told = run("exiftool", "-s3", "-XMP-lr:HierarchicalSubject", "-XMP-xmp:Rating", "-XMP-dc:Description", str(sidecar))
    assert told.split("\n")[:3] == ["Places|Coast, sea, dog", "4", "at sea"]


@needs_exiftool
def test_a_sidecar_that_exiftool_made_is_merged(photo, sidecar):
    run("exiftool", "-XMP-dc:Subject=one", "-XMP-dc:Subject=two", "-XMP-xmp:Rating=2", "-o", str(sidecar))
    before = sidecar.read_bytes()
    assert write_sidecar(photo, ["Two", "three"]).added == ("three",)
    assert by_exiftool(sidecar) == ["one", "two", "three"]
    assert rest(sidecar.read_bytes()) == rest(before)


@needs_exiv2
def test_exiv2_reads_what_is_written(photo, sidecar):
    write_sidecar(photo, HARD)
    assert by_exiv2(sidecar) == ", ".join(HARD)
    assert by_exiv2(sidecar, "Xmp.zsmld.subject") == ", ".join(HARD)
    assert "XmpBag" in run("exiv2", "-PXky", str(sidecar))


@needs_exiv2
def test_a_sidecar_that_exiv2_rewrites_is_merged(photo, sidecar):
    write_sidecar(photo, ["sea", "boat"])
    run("exiv2", "-Mset Xmp.xmp.Rating 4", "-Mset Xmp.dc.subject by hand", "-Mset Xmp.digiKam.TagsList Places/Coast",
        str(sidecar))  # fmt: skip
    before = sidecar.read_bytes()
    assert write_sidecar(photo, ["sea", "coast", "dog"]) == Sidecar(sidecar, ("sea", "dog"), ("boat",))
    assert rest(sidecar.read_bytes()) == rest(before)
    assert by_exiv2(sidecar) == "sea, by hand, dog"
    assert by_exiv2(sidecar, "Xmp.digiKam.TagsList") == "Places/Coast, sea, dog"
    assert by_exiv2(sidecar, "Xmp.xmp.Rating") == "4"


# It reads no sidecars that begin otherwise, and refuses a property that is there twice, before and after.
NOT_FOR_EXIV2 = ("rdf alone", "of old", "twice", "attribute")


@needs_exiv2
@pytest.mark.parametrize("form", [form for form in FORMS if form not in NOT_FOR_EXIV2])
def test_exiv2_reads_every_form_after_a_merge(photo, sidecar, form):
    sidecar.write_text(FORMS[form])
    write_sidecar(photo, ["new"])
    told = run("exiv2", "-PXkv", str(sidecar))
    assert all(word in told for word in ("old", "sea", "new"))
