"""Mail as the standard library writes it, and as nobody should."""

import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.tasks.files.documents.made import rows, texts


def message(subject: str, body: str, *, html: str | None = None) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Ärne <a@b.example>", "help@c.example", subject
    made["Date"] = "Fri, 02 Jan 2026 03:04:05 +0000"
    made.set_content(body, "html" if html == "alone" else "plain")
    if html not in (None, "alone"):
        made.add_alternative(html, subtype="html")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="x.pdf")
    return made


def test_a_message_is_its_headers_and_its_body(tmp_path: Path) -> None:
    said = message("Tür klemmt", "Sie schließt nicht.\n", html="<p>other</p>")
    (tmp_path / "one.eml").write_bytes(bytes(said))
    (row,) = rows(tmp_path / "one.eml")
    assert row.columns == {
        "file": "one.eml",
        "from": "Ärne <a@b.example>",
        "to": "help@c.example",
        "subject": "Tür klemmt",
        "date": "Fri, 02 Jan 2026 03:04:05 +0000",
        "text": "Sie schließt nicht.\n",
    }


def test_a_message_of_html_alone_is_read_as_text(tmp_path: Path) -> None:
    said = message("s", "<p>The <b>lift</b></p><p>stuck</p>", html="alone")
    (tmp_path / "one.eml").write_bytes(bytes(said))
    assert texts(tmp_path) == ["The lift\nstuck"]


def test_every_message_of_a_mailbox_is_a_row(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "all.mbox")
    for number in range(3):
        box.add(message(f"number {number}", f"From here it is broken {number}\n"))
    box.flush()
    box.close()
    found = rows(tmp_path / "all.mbox")
    assert [row.columns["subject"] for row in found] == ["number 0", "number 1", "number 2"]
    assert [row.place for row in found] == ["all.mbox#1", "all.mbox#2", "all.mbox#3"]
    assert "it is broken 2" in found[2].columns["text"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Content-Type: text/plain; charset=nonsense\n\ncaf\xe9\0\n",
        b"Content-Transfer-Encoding: base64\n\n!!!not base64\n",
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x\n--x--\n",
        b"Date: \xff\xfe never\nSubject: =?nonsense?q?=FF?=\nFrom: <<<>>>\n\nhello\n",
        b"Content-Type: multipart/alternative; boundary=x\n\n" * 500,
    ],
)
def test_no_message_stops_the_others(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.eml").write_bytes(content)
    (tmp_path / "b.eml").write_bytes(bytes(message("s", "fine\n")))
    _, fine = texts(tmp_path)
    assert fine == "fine\n"
