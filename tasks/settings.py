"""Settings from the environment, read when first needed and never at import."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tierqueue.router.errors import InvalidPolicy, Misconfigured
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.policy.policy_errors import nearest, plain_message

PREFIX = "TIERQUEUE_"

POLICY_FILE = Path("tierqueue.toml")
"""Where the policy is that no setting names: in the folder that a process runs in."""


class Settings(BaseSettings):
    """Where this process finds what it needs; each field is the variable ``TIERQUEUE_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    broker_url: str = "redis://127.0.0.1:6379/0"
    """The Redis or Valkey that carries wakes, slices and results; a unix socket is
    ``redis+socket:///path``."""

    ledger_url: str | None = None
    """The database: ``sqlite:///path`` or ``postgresql://user@host/name``; needed by whoever
    calls ``.delay()`` and by every process of the system."""

    policy: Path = POLICY_FILE
    """The policy file; needed by the routing stage and the workers, not by producers."""

    imports: Annotated[tuple[str, ...], NoDecode] = ()
    """Modules with a team's own task types, separated by commas."""

    lease: float = Field(default=10.0, ge=1.0, le=600.0)
    """Seconds after which a silent worker's claims are taken from it."""

    grace: float = Field(default=30.0, ge=1.0, le=3600.0)
    """Seconds from SIGTERM to the end; the same as compose's stop_grace_period."""

    result_expires: float = Field(default=86_400.0, gt=0)
    """Seconds a result stays with the broker; it stays in the ledger beyond that."""

    @field_validator("imports", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    def read_policy(self) -> Policy:
        """The policy in force, as ``read_policy_file`` reads it."""
        return read_policy_file(self.policy)

    @property
    def policy_folder(self) -> str:
        """``folder_of`` the policy file."""
        return folder_of(self.policy)


def read_policy_file(path: Path) -> Policy:
    """The policy at ``path``; raises ``InvalidPolicy`` naming the file and what is wrong."""
    return parse_policy(read_policy_text(path), str(path), folder_of(path))


def read_policy_text(path: Path) -> str:
    """What stands in the policy file at ``path``; raises ``InvalidPolicy`` where it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidPolicy(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise InvalidPolicy(
            f"cannot read the policy {path}: {error.strerror}. {PREFIX}POLICY says which file it is"
        ) from None


def folder_of(path: Path) -> str:
    """Where the files lie that the policy at ``path`` names by a relative path: its own folder."""
    # No link is followed: what a mounted folder links to may be elsewhere tomorrow.
    return str(Path(os.path.abspath(path)).parent)  # noqa: PTH100


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; raises ``Misconfigured`` naming the variable.

    A variable that begins with ``TIERQUEUE_`` and is none of ours is refused: it is a typo.
    """
    names = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    for given in os.environ if environ is None else environ:
        if given.startswith(PREFIX) and given not in names:
            raise Misconfigured(f"{given} is not a setting of tierqueue{nearest(given, names)}")
    try:
        if environ is None:
            return Settings()
        return Settings.model_validate(
            {
                key.removeprefix(PREFIX).lower(): value
                for key, value in environ.items()
                if key in names
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        what = "is not set" if first["type"] == "missing" else f"is wrong: {plain_message(first)}"
        raise Misconfigured(f"{variable} {what}", {"variable": variable}) from None
