"""Mail: one message a file, or a mailbox of them."""

import email
import mailbox
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents.document import Document, Page
from tierqueue.tasks.files.documents.markup import bounded, html_text

_MOST_BYTES = 40_000_000
_TOLD = ("from", "to", "subject", "date")
_LONGEST_HEADER = 2_000


def read(path: Path, name: str) -> Document:
    """One message: its headers as columns, and the text of its body."""
    try:
        bounded(path)
        content = path.read_bytes()
    except OSError as error:
        raise InvalidItem(f"cannot read {path}: {error.strerror}") from None
    return _message(content, name)


def read_mailbox(path: Path, name: str) -> Iterator[Document]:
    """Every message of an mbox file, one after the other."""
    box = mailbox.mbox(path, create=False)
    try:
        for number, key in enumerate(box.iterkeys(), start=1):
            with box.get_file(key) as file:
                content = file.read(_MOST_BYTES + 1)
            yield _message(content, f"{name}#{number}")
    finally:
        box.close()


def _message(content: bytes, name: str) -> Document:
    if len(content) > _MOST_BYTES:
        raise InvalidItem(f"it has more than {_MOST_BYTES:,} bytes")
    message = email.message_from_bytes(content, policy=default)

    def body() -> str:
        return _body(message, name)

    def pages() -> Iterator[Page]:
        yield body

    return Document(name, pages, fields=_headers(message))


def _headers(message: EmailMessage) -> Mapping[str, str | None]:
    return {name: _header(message, name) for name in _TOLD}


def _header(message: EmailMessage, name: str) -> str | None:
    try:
        said = message[name]
    except (ValueError, LookupError, IndexError, AttributeError):
        return None  # the standard library raises these on headers that are none
    return None if said is None else _clean(str(said))[:_LONGEST_HEADER]


def _body(message: EmailMessage, name: str) -> str:
    try:
        part = message.get_body(("plain", "html"))
        if part is None:
            return ""
        raw = part.get_payload(decode=True)
        charset = part.get_content_charset() or "utf-8"
    except (ValueError, LookupError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidItem(f"its body cannot be read: {error}") from None
    content = raw if isinstance(raw, bytes) else b""
    try:
        said = content.decode(charset, "replace")
    except LookupError:
        said = content.decode("utf-8", "replace")
    if part.get_content_type() == "text/html":
        return html_text(said, name) if said.strip() else ""
    return _clean(said).replace("\r\n", "\n")


def _clean(said: str) -> str:
    return said.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
