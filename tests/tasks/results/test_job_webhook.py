"""Where a job's webhook may be, and where its secret is."""

from pathlib import Path

import pytest

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.results.job_webhook import check, secret_at, signed


@pytest.mark.parametrize(
    ("address", "secret", "said"),
    [
        ("http://acme.example/x", "env:S", "on this machine"),
        ("ftp://acme.example/x", "env:S", "on this machine"),
        ("https:///x", "env:S", "an https:// address"),
        ("https://me:word@acme.example/x", "env:S", "without a login"),
        ("https://acme.example:x/", "env:S", "no port"),
        ("https://acme.example/x", "hunter2", "env:NAME"),
        ("https://acme.example/x", "env:", "env:NAME"),
    ],
)
def test_what_will_not_do_is_refused(address: str, secret: str, said: str) -> None:
    with pytest.raises(InvalidItem, match=said):
        check(address, secret)


def test_https_and_this_machine_will_do() -> None:
    check("https://acme.example/x?y=1", "env:S")
    check("http://127.0.0.1:8080/x", "/run/secrets/jobs")


def test_a_secret_is_read_where_it_is_and_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("sixteen characters\n", encoding="utf-8")
    assert secret_at(str(file)) == b"sixteen characters"
    monkeypatch.setenv("S", "hunter2")
    for place in ("env:S", "env:NOBODY", str(tmp_path / "gone")):
        with pytest.raises(InvalidItem) as said:
            secret_at(place)
        assert "hunter2" not in said.value.message


def test_the_signature_is_over_the_time_too() -> None:
    first, later = (signed(b"secret", b"{}", seconds) for seconds in (1, 2))
    assert first["Tierqueue-Timestamp"] == "1"
    assert first["Tierqueue-Signature"] != later["Tierqueue-Signature"]
