"""Files: uploaded as forms, listed, read back; kept while the process lives, or until deleted."""

from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

from sandbox.wires.call import Json, Refused

PURPOSES = {"assistants", "batch", "fine-tune", "vision", "user_data", "evals"}


@dataclass(frozen=True, slots=True)
class File:
    """A file; ``created`` in epoch seconds."""

    id: str
    name: str
    purpose: str
    created: float
    content: bytes

    def as_json(self) -> Json:
        """The ``file`` object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": int(self.created),
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


class Files:
    """All files, oldest first."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._made = 0

    def add(self, name: str, purpose: str, content: bytes, now: float) -> File:
        """Keep a file."""
        self._made += 1
        file = File(f"file-sandbox-{self._made}", name, purpose, now, content)
        self._files[file.id] = file
        return file

    def upload(self, kind: str, body: bytes, now: float, own: str = "batch") -> File:
        """The file of a form with ``file`` and ``purpose``, of which ``own`` is that of batches;
        ``Refused`` 400 for any other.
        """
        fields = _form(kind, body)
        purpose = fields.get("purpose", (None, b""))[1].decode("utf-8", "replace")
        known = PURPOSES - {"batch"} | {own}
        if purpose not in known:
            raise Refused(400, f"{purpose!r} is not one of {sorted(known)} - 'purpose'")
        name, content = fields.get("file", (None, b""))
        if name is None:
            raise Refused(400, "'file' is a required property")
        if not content:
            raise Refused(400, "File is empty.")
        return self.add(name, purpose, content, now)

    def get(self, key: str) -> File:
        """The file of that id; ``Refused`` 404 where there is none."""
        file = self._files.get(key)
        if file is None:
            raise Refused(404, f"No such File object: {key}")
        return file

    def delete(self, key: str) -> None:
        """Forget a file."""
        self.get(key)
        del self._files[key]

    def newest_first(self, purpose: str | None) -> list[File]:
        """Those of a purpose, or all."""
        found = reversed(self._files.values())
        return [file for file in found if purpose is None or file.purpose == purpose]


def _form(kind: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    """A form's fields: the file's name, where it is a file, and the content of each."""
    if not kind.startswith("multipart/form-data"):
        raise Refused(400, "a file is uploaded as multipart/form-data")
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1")
    read = BytesParser(policy=HTTP).parsebytes(head + body)
    if not read.is_multipart():
        raise Refused(400, "the form has no parts")
    fields: dict[str, tuple[str | None, bytes]] = {}
    for part in read.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = (part.get_filename(), content)
    return fields
