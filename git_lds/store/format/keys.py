"""The keys of a store and their form, and the parameters of the store, which the first key holds.

    lds.toml                     the parameters
    log/<seq>                    one entry of the log; seq is 20 decimal digits
    log/HEAD                     the hint
    checkpoint/<seq>-<id>        the state after entry seq
    index/<id[:2]>/<id>          an index
    pack/<id[:2]>/<id>           a pack

An id is the BLAKE3 of the file as 64 lower-case hex digits.
"""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Mapping

from git_lds.errors import CorruptData
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import FileId
from git_lds.store.format import chunker, packfile

PARAMETERS = "lds.toml"
HEAD = "log/HEAD"
MAX_SEQ = 2**63 - 1
FORMAT_VERSION = 1


class KeyKind(enum.StrEnum):
    """The kind of file that a key names."""

    PARAMETERS = "parameters"
    HEAD = "head"
    LOG = "log"
    CHECKPOINT = "checkpoint"
    INDEX = "index"
    PACK = "pack"


MAX_SIZES: Mapping[KeyKind, int] = {
    KeyKind.PARAMETERS: 64 << 10,
    KeyKind.HEAD: 4 << 10,
    KeyKind.LOG: 16 << 20,
    KeyKind.CHECKPOINT: 64 << 20,
    KeyKind.INDEX: 512 << 20,
    KeyKind.PACK: packfile.MAX_SIZE,
}
"""The largest file of each kind, in bytes."""


class Key(NamedTuple):
    """A well-formed key: its kind and, if the kind has them, the number of a log entry and the BLAKE3 of the file."""

    kind: KeyKind
    seq: int | None = None
    id: FileId | None = None


def log_key(seq: int) -> str:
    """Return the key of entry `seq` of the log."""
    return f"log/{seq:020d}"


def checkpoint_key(seq: int, id: FileId) -> str:
    """Return the key of the checkpoint of entry `seq`."""
    return f"checkpoint/{seq:020d}-{id.hex()}"


def index_key(id: FileId) -> str:
    """Return the key of an index."""
    return f"index/{id.hex()[:2]}/{id.hex()}"


def pack_key(id: FileId) -> str:
    """Return the key of a pack."""
    return f"pack/{id.hex()[:2]}/{id.hex()}"


_LOG = re.compile(r"log/([0-9]{20})")
_CHECKPOINT = re.compile(r"checkpoint/([0-9]{20})-([0-9a-f]{64})")
_NAMED = re.compile(r"(index|pack)/([0-9a-f]{2})/(\2[0-9a-f]{62})")


def parse(key: str) -> Key | None:
    """Return the parsed `key`, or None if it is not well-formed. Only this function decides which keys are."""
    if key == PARAMETERS:
        return Key(KeyKind.PARAMETERS)
    if key == HEAD:
        return Key(KeyKind.HEAD)
    if (form := _LOG.fullmatch(key)) and int(form[1]) <= MAX_SEQ:
        return Key(KeyKind.LOG, seq=int(form[1]))
    if (form := _CHECKPOINT.fullmatch(key)) and int(form[1]) <= MAX_SEQ:
        return Key(KeyKind.CHECKPOINT, seq=int(form[1]), id=FileId(bytes.fromhex(form[2])))
    if form := _NAMED.fullmatch(key):
        return Key(KeyKind(form[1]), id=FileId(bytes.fromhex(form[3])))
    return None


_STORE_ID = re.compile(r"[0-9a-f]{32}")
_CHUNKER = {
    "algorithm": chunker.ALGORITHM,
    "minimum": chunker.MINIMUM,
    "average": chunker.AVERAGE,
    "maximum": chunker.MAXIMUM,
    "normalisation": chunker.NORMALISATION,
}


class Parameters(NamedTuple):
    """The contents of `lds.toml`: the id of the store, and whether only one writer at a time may use it.

    The id is 32 random hex digits, chosen when the store was created. `single_writer` marks a store without put-if-absent. The
    version of the format and the parameters of the chunker must be those of this program, or it does not touch the store.
    """

    store_id: str
    single_writer: bool = False

    def encode(self) -> bytes:
        """Return the text of `lds.toml`."""
        import tomli_w

        store: dict[str, object] = {"id": self.store_id}
        if self.single_writer:
            store["single_writer"] = True
        sections = {"format": {"version": FORMAT_VERSION}, "store": store, "chunker": _CHUNKER}
        return tomli_w.dumps(sections).encode()

    @classmethod
    def decode(cls, data: bytes) -> Parameters:
        """Return the parameters in the text of `lds.toml`. Raises CorruptData if this program cannot use the store."""
        sections = _read_toml(data)
        version = _section(sections, "format").get("version")
        if type(version) is not int:
            raise CorruptData(f"{PARAMETERS} does not say the version of the store's format")
        if version != FORMAT_VERSION:
            raise CorruptData(
                f"the store has format {version}, and this git-lds knows {FORMAT_VERSION}", hint="upgrade git-lds"
            )
        if _section(sections, "chunker") != _CHUNKER:
            raise CorruptData(
                "the store cuts files into chunks in a way that this git-lds does not know",
                hint="use the git-lds that made the store, or a newer one",
            )
        store = _section(sections, "store")
        store_id, single_writer = store.get("id"), store.get("single_writer", False)
        if not isinstance(store_id, str) or not _STORE_ID.fullmatch(store_id):
            raise CorruptData(f"{PARAMETERS} does not say the store's id, 32 hex digits")
        if type(single_writer) is not bool:
            raise CorruptData(f"{PARAMETERS} has a single_writer that is neither true nor false")
        return cls(store_id, single_writer)


def _read_toml(data: bytes) -> dict[str, object]:
    if len(data) > MAX_SIZES[KeyKind.PARAMETERS]:
        raise CorruptData(f"{PARAMETERS} is larger than {MAX_SIZES[KeyKind.PARAMETERS]} bytes")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as e:
        raise CorruptData(f"{PARAMETERS} is not TOML: {e}") from e


def _section(sections: Mapping[str, object], name: str) -> dict[str, object]:
    section = sections.get(name)
    return section if isinstance(section, dict) else {}
