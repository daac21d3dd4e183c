"""libvirt's XML as nodes that know their line and what of them was taken, so that the rest can be told."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from msgspec import Struct, field

DEEPEST = 100  # levels; a domain has about eight


class XmlElement(Struct):
    """An element. Whoever uses a part of it takes that part; what nobody takes is told."""

    tag: str
    line: int
    attributes: dict[str, str]
    text: str = ""
    children: list[XmlElement] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)  # names of attributes; "" stands for the text

    def take(self, name: str, default: str = "") -> str:
        """An attribute."""
        self.taken.add(name)
        return self.attributes.get(name, default)

    def take_text(self) -> str:
        """The text between its tags."""
        self.taken.add("")
        return self.text.strip()

    def all(self, tag: str) -> list[XmlElement]:
        """Its children of a name."""
        return [child for child in self.children if child.tag == tag]

    def first(self, path: str) -> XmlElement | None:
        """The first element at ``a/b``; None where there is none."""
        node: XmlElement | None = self
        for tag in path.split("/"):
            node = next(iter(node.all(tag)), None) if node is not None else None
        return node

    def text_of(self, path: str) -> str:
        """The text of the first element at ``a/b``."""
        node = self.first(path)
        return node.take_text() if node is not None else ""

    def take_all(self) -> None:
        """With everything in it."""
        self.taken |= {"", *self.attributes}
        for child in self.children:
            child.take_all()

    @property
    def is_untouched(self) -> bool:
        """Whether nothing in it was taken."""
        return not self.taken and all(child.is_untouched for child in self.children)

    @property
    def is_bare(self) -> bool:
        """Whether it has neither attributes nor text."""
        return not self.attributes and not self.text.strip()

    def rest(self) -> Iterator[tuple[int, str]]:
        """What was not taken, with its line: an element that nobody touched as a whole, else its own words."""
        if self.is_untouched and not (self.is_bare and self.children):
            yield self.line, str(self)
            return
        words = [f"{name}='{value}'" for name, value in self.attributes.items() if name not in self.taken]
        text = self.text.strip() if "" not in self.taken else ""
        if words or text:
            yield self.line, f"<{' '.join([self.tag, *words])}>{text}"
        for child in self.children:
            yield from child.rest()

    def __str__(self) -> str:
        head = " ".join([self.tag, *(f"{name}='{value}'" for name, value in self.attributes.items())])
        inner = self.text.strip() + "".join(map(str, self.children))
        return f"<{head}>{inner}</{self.tag}>" if inner else f"<{head}/>"


def read(text: str) -> XmlElement:
    """The root of a document. Raises ValueError with the line where it is none."""
    stack: list[XmlElement] = [XmlElement("", 0, {})]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels of elements")
        node = XmlElement(tag, parser.CurrentLineNumber, attributes)
        stack[-1].children.append(node)
        stack.append(node)

    def words(data: str) -> None:
        stack[-1].text += data

    def doctype(*_: object) -> None:
        raise ValueError("a document type; libvirt writes none")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = words
    parser.StartDoctypeDeclHandler = doctype
    parser.buffer_text = True
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as wrong:
        raise ValueError(f"not XML: {wrong}") from wrong
    return stack[0].children[0]
