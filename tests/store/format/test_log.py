"""The log: entries, the state that they add up to, checkpoints and hints."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.damage import damaged, reads_or_refuses, refused_cheaply

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError
from git_lds.hashing import FileId
from git_lds.store.format import keys, log
from git_lds.store.format.log import EMPTY, Hint, LogEntry, StoreState

NAMES = [FileId(hashing.of_bytes(b"%d" % n)) for n in range(9)]
A, B, C, D, E = NAMES[:5]

# few names, so that entries meet each other
names = st.sampled_from(NAMES)
tuples = st.lists(names, max_size=4, unique=True).map(tuple)
pushes = st.binary(min_size=16, max_size=16).map(bytes.hex)


@st.composite
def log_entries(draw: st.DrawFn) -> LogEntry:
    added = {name: 1000 + NAMES.index(name) for name in draw(tuples)}
    time = draw(st.integers(0, 2**63 - 1))
    previous = draw(st.none() | st.just(b"") | names)
    return LogEntry(draw(pushes), time, added, draw(tuples), draw(tuples), draw(tuples), draw(tuples), previous)


def state_after(entries: list[LogEntry]) -> StoreState:
    state = EMPTY
    for seq, entry in enumerate(entries):
        state = log.apply(state, seq, entry)
    return state


def entry(**fields: object) -> LogEntry:
    return LogEntry(**{"push": "0" * 32, "time": 1, "add_packs": {}, "add_indexes": (), **fields})  # type: ignore[arg-type]


@given(log_entries())
def test_entries_read_back(one: LogEntry) -> None:
    data = one.encode()
    assert LogEntry.decode(data) == one
    assert data.isascii() and data.endswith(b"}\n") and data.count(b"\n") == 1
    fields = json.loads(data)
    assert list(fields) == sorted(fields)


def test_bytes_of_an_entry() -> None:
    first = LogEntry("0123456789abcdef" * 2, 1700000000, {FileId(b"\1" * 32): 70}, (FileId(b"\2" * 32),), previous=b"")
    golden = (
        b'{"add_indexes":["%s"],"add_packs":{"%s":70},"condemn_packs":[],"drop_indexes":[],"previous":"%s",'
        b'"push":"0123456789abcdef0123456789abcdef","remove_packs":[],"time":1700000000,"version":2}\n'
    )
    assert first.encode() == golden % (b"02" * 32, b"01" * 32, b"")
    digest = "4329d7c969253e9acb50cdebf11077cdd132555fed65485f86770b2e225823b5"
    assert hashing.of_bytes(first.encode()).hex() == digest
    second = first._replace(previous=bytes.fromhex(digest))
    assert second.encode() == golden % (b"02" * 32, b"01" * 32, digest.encode())
    assert LogEntry.decode(first.encode()) == first and LogEntry.decode(second.encode()) == second


def test_bytes_of_an_entry_of_version_1_which_does_not_name_the_one_before() -> None:
    one = LogEntry("0123456789abcdef" * 2, 1700000000, {FileId(b"\1" * 32): 70}, (FileId(b"\2" * 32),))
    assert one.encode() == (
        b'{"add_indexes":["%s"],"add_packs":{"%s":70},"condemn_packs":[],"drop_indexes":[],'
        b'"push":"0123456789abcdef0123456789abcdef","remove_packs":[],"time":1700000000,"version":1}\n'
        % (b"02" * 32, b"01" * 32)
    )
    assert LogEntry.decode(one.encode()) == one and one.previous is None


def test_an_entry_follows_on_the_one_that_it_names_and_one_of_version_1_on_any() -> None:
    for digest in (A, b""):
        assert entry(previous=digest).follows_on(digest)
        assert not entry(previous=digest).follows_on(B)
        assert entry().follows_on(digest)
    assert not entry(previous=A).follows_on(b"")


def test_keys_of_entries() -> None:
    assert log.entry_key(12) == "log/00000000000000000012"


@given(st.lists(log_entries(), max_size=8))
def test_checkpoints_read_back(entries: list[LogEntry]) -> None:
    state = state_after(entries)
    if entries:
        data = log.encode_checkpoint(state)
        assert log.decode_checkpoint(data) == state
        assert data.isascii() and data.endswith(b"}\n")
    assert state.seq == len(entries) - 1
    assert state.condemned <= state.packs.keys()
    assert len(set(state.indexes)) == len(state.indexes)


@given(st.lists(log_entries(), min_size=1, max_size=8), st.integers(0, 7))
def test_a_checkpoint_equals_the_entries_before_it(entries: list[LogEntry], at: int) -> None:
    at = min(at, len(entries) - 1)
    state = log.decode_checkpoint(log.encode_checkpoint(state_after(entries[: at + 1])))
    for seq, one in enumerate(entries[at + 1 :], at + 1):
        state = log.apply(state, seq, one)
    assert state == state_after(entries)


def test_pushes_add_packs_and_newest_indexes_last() -> None:
    state = state_after([entry(add_packs={A: 100}, add_indexes=(C,)), entry(add_packs={B: 200}, add_indexes=(D,))])
    assert state == StoreState(1, {A: 100, B: 200}, frozenset(), (C, D))


def test_a_merged_index_replaces_the_indexes_that_it_merges() -> None:
    state = state_after(
        [entry(add_indexes=(A,)), entry(add_indexes=(B,)), entry(add_indexes=(C, D), drop_indexes=(A, B))]
    )
    assert state.indexes == (C, D)


def test_packs_are_condemned_then_removed() -> None:
    pushed = entry(add_packs={A: 100, B: 200})
    condemned = state_after([pushed, entry(condemn_packs=(A,))])
    assert (condemned.packs, condemned.condemned) == ({A: 100, B: 200}, frozenset({A}))
    removed = log.apply(condemned, 2, entry(remove_packs=(A,)))
    assert (removed.packs, removed.condemned) == ({B: 200}, frozenset())


def test_a_clean_up_that_ran_twice_changes_nothing() -> None:
    state = state_after([entry(add_packs={A: 100}, add_indexes=(C,))])
    again = log.apply(state, 1, entry(condemn_packs=(B,), remove_packs=(D,), drop_indexes=(E,)))
    assert (again.packs, again.condemned, again.indexes) == (state.packs, state.condemned, state.indexes)


def test_adding_the_same_pack_again_changes_nothing_but_its_size_cannot_change() -> None:
    state = state_after([entry(add_packs={A: 100})])
    assert log.apply(state, 1, entry(add_packs={A: 100})).packs == {A: 100}
    with pytest.raises(CorruptData, match="size"):
        log.apply(state, 1, entry(add_packs={A: 101}))


def test_a_state_has_only_so_many_packs_and_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_PACKS", 2)
    monkeypatch.setattr(log, "MAX_INDEXES", 2)
    state = state_after([entry(add_packs={A: 1, B: 2}, add_indexes=(A, B))])
    with pytest.raises(CorruptData, match="log entry 1 gives the store more than 2 packs or 2 indexes"):
        log.apply(state, 1, entry(add_packs={C: 3}))
    with pytest.raises(CorruptData, match="more than"):
        log.apply(state, 1, entry(add_indexes=(C,)))
    replaced = log.apply(state, 1, entry(add_packs={C: 3}, remove_packs=(A,), add_indexes=(C,), drop_indexes=(A,)))
    assert (replaced.packs, replaced.indexes) == ({B: 2, C: 3}, (B, C))


@pytest.mark.parametrize("seq", [0, 2, -1])
def test_entries_out_of_turn_are_refused(seq: int) -> None:
    state = state_after([entry()])
    with pytest.raises(CorruptData, match="does not follow"):
        log.apply(state, seq, entry())


@given(st.lists(log_entries(), max_size=8), st.integers(0, 8))
def test_many_entries_at_once_are_the_same_as_one_by_one(entries: list[LogEntry], cut: int) -> None:
    state = log.apply_all(state_after(entries[:cut]), entries[cut:])
    assert state == state_after(entries)
    assert list(state.packs) == list(state_after(entries).packs)


def test_apply_leaves_the_old_state_alone() -> None:
    state = state_after([entry(add_packs={A: 100}, add_indexes=(C,))])
    log.apply(state, 1, entry(add_packs={B: 5}, remove_packs=(A,), drop_indexes=(C,)))
    assert state == StoreState(0, {A: 100}, frozenset(), (C,))
    assert StoreState(-1, {}, frozenset(), ()) == EMPTY


def decode_all(data: bytes) -> None:
    reads_or_refuses(lambda: LogEntry.decode(data))
    reads_or_refuses(lambda: log.decode_checkpoint(data))
    Hint.decode(data)


@given(st.data())
@settings(deadline=None)
def test_damage_is_corrupt_data_or_another_entry(data: st.DataObject) -> None:
    whole = data.draw(
        st.one_of(
            log_entries().map(LogEntry.encode),
            st.lists(log_entries(), min_size=1).map(state_after).map(log.encode_checkpoint),
            st.just(Hint(5, keys.checkpoint_key(4, A)).encode()),
        )
    )
    decode_all(data.draw(damaged(whole)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | names.map(bytes.hex),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | names.map(bytes.hex), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [*json.loads(entry().encode()), "seq", "packs", "condemned", "indexes", "checkpoint"]


@given(
    st.sampled_from([entry().encode(), log.encode_checkpoint(state_after([entry()])), Hint(1, None).encode()]),
    st.data(),
)
@settings(deadline=None)
def test_any_other_json_is_refused(whole: bytes, data: st.DataObject) -> None:
    fields = json.loads(whole)
    fields.update(data.draw(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3)))
    for name in data.draw(st.lists(st.sampled_from(FIELDS), max_size=1)):
        fields.pop(name, None)
    decode_all(json.dumps(fields).encode())
    decode_all(json.dumps(data.draw(json_values)).encode())


@given(st.binary(max_size=200))
def test_made_up_bytes_are_refused(data: bytes) -> None:
    decode_all(data)
    assert Hint.decode(data) is None


def with_field(data: bytes, name: str, value: object) -> bytes:
    return json.dumps({**json.loads(data), name: value}).encode()


@pytest.mark.parametrize(("decode", "newest"), [(LogEntry.decode, 2), (log.decode_checkpoint, 1)])
def test_a_newer_version_asks_for_an_upgrade(decode: object, newest: int) -> None:
    data = b'{"version": %d, "what": "we do not know"}' % (newest + 1)
    with pytest.raises(CorruptData) as caught:
        decode(data)  # type: ignore[operator]
    assert caught.value.hint == "upgrade git-lds"


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(CorruptData, match="new_thing"):
        LogEntry.decode(with_field(entry().encode(), "new_thing", 1))
    with pytest.raises(CorruptData, match="new_thing"):
        log.decode_checkpoint(with_field(log.encode_checkpoint(state_after([entry()])), "new_thing", 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", True),
        ("version", 1.0),
        ("version", "1"),
        ("push", "0" * 31),
        ("push", "G" * 32),
        ("push", "0" * 32 + "\n"),
        ("time", -1),
        ("time", 1.5),
        ("time", True),
        ("time", 2**63),
        ("add_packs", {"0" * 63: 1}),
        ("add_packs", {"A" * 64: 1}),
        ("add_packs", {"a" * 64: 0}),
        ("add_packs", {"a" * 64: -1}),
        ("add_packs", {"a" * 64: 2**40}),
        ("add_packs", {"a" * 64: "1"}),
        ("add_packs", []),
        ("add_indexes", {}),
        ("add_indexes", ["x"]),
        ("add_indexes", [["a" * 64]]),
        ("drop_indexes", ["a" * 64, "a" * 64]),
        ("remove_packs", None),
    ],
)
def test_fields_of_the_wrong_form_are_refused(name: str, value: object) -> None:
    with pytest.raises(CorruptData):
        LogEntry.decode(with_field(entry().encode(), name, value))


@pytest.mark.parametrize("value", ["0" * 63, "G" * 64, "A" * 64, " ", None, 0, [], {}])
def test_the_entry_before_is_named_by_64_hex_digits_or_not_at_all(value: object) -> None:
    with pytest.raises(CorruptData):
        LogEntry.decode(with_field(entry(previous=A).encode(), "previous", value))


def test_only_entries_of_version_2_name_their_predecessor() -> None:
    with pytest.raises(CorruptData, match="previous"):
        LogEntry.decode(with_field(entry().encode(), "previous", "a" * 64))
    with pytest.raises(CorruptData, match="previous"):
        LogEntry.decode(with_field(entry().encode(), "version", 2))


def test_a_field_twice_is_refused() -> None:
    with pytest.raises(CorruptData, match="twice"):
        LogEntry.decode(entry().encode().replace(b'"time":1', b'"time":1,"time":1'))
    twice = entry(add_packs={A: 5}).encode().replace(b'":5', b'":5,"%s":6' % A.hex().encode())
    with pytest.raises(CorruptData, match="twice"):
        LogEntry.decode(twice)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b"[" + b"[]," * 500_000 + b"[]]",
        b'{"add_indexes":[' + b'"",' * 500_000 + b'""]}',
        b"[" + b"1," * 500_000 + b"1]",
        b'{"version":1,"time":' + b"9" * 1_000_000 + b"}",
        b'{"version":1,"time":1e999999}',
        b'{"version":NaN}',
        b'{"version":1,"push":"\\ud800"}',
        b"\xff\xfe{}",
        b"",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_hostile_json_is_refused_cheaply(data: bytes) -> None:
    refused_cheaply(lambda: LogEntry.decode(data), 3 * len(data) + 100_000)
    refused_cheaply(lambda: log.decode_checkpoint(data), 3 * len(data) + 100_000)
    assert Hint.decode(data) is None


def test_files_of_more_than_their_limit_are_refused() -> None:
    padded = entry().encode() + b" " * keys.MAX_SIZES[keys.KeyKind.LOG]
    with pytest.raises(CorruptData, match="larger"):
        LogEntry.decode(padded)
    with pytest.raises(LdsError, match="that many packs"):
        entry(add_packs={FileId(n.to_bytes(32, "big")): 1 for n in range(250_000)}).encode()


def test_a_checkpoint_can_condemn_only_its_own_packs() -> None:
    data = with_field(log.encode_checkpoint(state_after([entry()])), "condemned", [A.hex()])
    with pytest.raises(CorruptData, match="condemns"):
        log.decode_checkpoint(data)


def test_hints_read_back() -> None:
    for hint in (Hint(0, None), Hint(70, keys.checkpoint_key(64, A))):
        assert Hint.decode(hint.encode()) == hint
    assert Hint(3, None).encode() == b'{"checkpoint":null,"seq":3,"version":1}\n'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seq", -1),
        ("seq", "1"),
        ("seq", True),
        ("seq", 2**63),
        ("checkpoint", "log/HEAD"),
        ("checkpoint", "../" + keys.checkpoint_key(1, A)),
        ("checkpoint", keys.checkpoint_key(6, A)),
        ("checkpoint", 7),
        ("version", 2),
        ("more", 1),
    ],
)
def test_an_invalid_hint_is_ignored(name: str, value: object) -> None:
    good = Hint(5, keys.checkpoint_key(4, A)).encode()
    assert Hint.decode(good) is not None
    assert Hint.decode(with_field(good, name, value)) is None
