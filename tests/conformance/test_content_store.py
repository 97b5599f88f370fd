# SPDX-License-Identifier: Apache-2.0
"""What every content store promises: one suite for the fake, the embedded store and a Kubo node."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import sha256
from io import BytesIO

import pytest

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.unixfs import Link
from consentum.domain.cid import RAW, Cid
from consentum.errors import CorruptError, MalformedError, NotFoundError, UnavailableError
from tests.fakes.content import Bench, MemoryContentStore, car_of, exported, node, refused, whole

MIB = 1 << 20
SIZES = [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 50 * MIB]
ABSENT = Cid.of(RAW, b"nobody put this")


@lru_cache(maxsize=2)
def content(size: int, salt: int = 0) -> bytes:
    """Bytes that differ from chunk to chunk, so that no two blocks are one."""
    return b"".join(sha256(b"%d %d" % (salt, i)).digest() for i in range(-(-size // 32)))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_back_as_it_was_put_and_travels_as_a_car(bench: Bench, size: int) -> None:
    root = bench.store.put(BytesIO(content(size)))
    assert root == unixfs.cid_of(BytesIO(content(size)))
    assert whole(bench.store, root) == content(size)
    assert (bench.store.has(root), bench.store.size(root)) == (True, size)
    car = exported(bench.store, root)
    bench.store.remove(root)
    other = MemoryContentStore()
    assert other.put_car(BytesIO(car)) == [root]
    assert bench.store.put_car(BytesIO(exported(other, root))) == [root]
    assert whole(bench.store, root) == whole(other, root) == content(size)


def test_a_car_keeps_the_order_of_its_roots(bench: Bench) -> None:
    other = MemoryContentStore()
    roots = [other.put(BytesIO(content(size))) for size in (MIB + 5, 7, 2 * MIB)]
    car = exported(other, *roots)
    assert bench.store.put_car(BytesIO(car)) == roots
    assert exported(bench.store, *roots) == car


def test_any_range_can_be_read(bench: Bench) -> None:
    end = 3 * MIB + 17
    data = content(end)
    root = bench.store.put(BytesIO(data))
    for offset, length in ((0, 1), (MIB - 1, 2), (5, 3 * MIB), (end - 1, 9), (end, 9), (1 << 50, 1), (9, 0)):
        assert bench.store.read_at(root, offset, length) == data[offset : offset + length]
    for offset, length in ((-1, 1), (0, -1)):
        with pytest.raises(MalformedError):
            bench.store.read_at(root, offset, length)


def test_what_is_not_there_is_not_found_nor_exported_in_part(bench: Bench) -> None:
    store = bench.store
    assert not store.has(ABSENT)
    for call in (store.block, store.size, store.remove, lambda cid: store.read(cid, BytesIO())):
        with pytest.raises(NotFoundError):
            call(ABSENT)
    with pytest.raises(NotFoundError):
        store.read_at(ABSENT, 0, 1)
    sink = BytesIO()
    with pytest.raises(NotFoundError, match=str(ABSENT)):
        store.export_car([store.put(BytesIO(b"here")), ABSENT], sink)
    assert sink.getvalue() == b""


def test_a_file_that_lost_a_block_is_not_whole(bench: Bench) -> None:
    data = content(2 * MIB)
    root = bench.store.put(BytesIO(data))
    lost = Cid.of(RAW, data[MIB:])
    bench.drop(lost)
    assert not bench.store.has(root)
    with pytest.raises(NotFoundError, match=str(lost)):
        whole(bench.store, root)
    assert bench.store.read_at(root, 0, MIB) == data[:MIB]
    with pytest.raises(NotFoundError):
        bench.store.read_at(root, MIB - 1, 2)


@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "root"])
def test_a_flipped_block_is_refused_and_named(bench: Bench, leaf: bool) -> None:
    data = content(2 * MIB)
    root = bench.store.put(BytesIO(data))
    hurt = Cid.of(RAW, data[MIB:]) if leaf else root
    block = bytearray(bench.store.block(hurt))
    block[-1] ^= 1
    bench.plant(hurt, bytes(block))
    with pytest.raises(CorruptError, match=str(hurt)):
        bench.store.block(hurt)
    with pytest.raises(CorruptError, match=str(hurt)):
        whole(bench.store, root)
    with pytest.raises(CorruptError, match=str(hurt)):
        bench.store.read_at(root, 2 * MIB - 1, 1)
    with pytest.raises(CorruptError, match=str(hurt)):
        bench.store.export_car([root], BytesIO())


@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "root"])
def test_putting_a_file_again_repairs_its_flipped_blocks(bench: Bench, leaf: bool) -> None:
    data = content(2 * MIB)
    root = bench.store.put(BytesIO(data))
    bench.plant(Cid.of(RAW, data[MIB:]) if leaf else root, bytes(MIB if leaf else 100))
    assert bench.store.put(BytesIO(data)) == root
    assert whole(bench.store, root) == data


def test_a_truncated_car_is_refused_wherever_it_ends(bench: Bench) -> None:
    other = MemoryContentStore()
    car = exported(other, other.put(BytesIO(content(MIB + 9))))
    for end in (0, 1, 30, 58, 59, 60, 100, 500, len(car) - 46, len(car) - 10, len(car) - 1):
        refused(bench, BytesIO(car[:end]), CorruptError)


def test_a_block_that_is_not_its_cids_is_refused_and_named(bench: Bench) -> None:
    good, bad = Cid.of(RAW, b"good"), Cid.of(RAW, b"bad")
    refused(bench, car_of({good: b"good", bad: b"Bad"}, good), CorruptError, str(bad))


def test_a_car_without_one_of_its_blocks_is_refused_and_names_it(bench: Bench) -> None:
    blocks = dict(unixfs.build(BytesIO(content(2 * MIB))))
    root = list(blocks)[-1]
    lost = Cid.of(RAW, content(2 * MIB)[:MIB])
    del blocks[lost]
    refused(bench, car_of(blocks, root), CorruptError, str(lost))
    refused(bench, car_of({}, root), CorruptError, str(root))


@pytest.mark.parametrize("name", [b"\x01\x55\x00\x04", b"\x01\x71\x12\x20" + bytes(32), b"\x12\x20" + bytes(32)])
def test_an_identity_cid_a_foreign_codec_and_a_cidv0_are_refused(bench: Bench, name: bytes) -> None:
    good = Cid.of(RAW, b"good")
    foreign = unixfs.uvarint(len(name) + 4) + name + b"leaf"
    refused(bench, BytesIO(car_of({good: b"good"}, good).getvalue() + foreign), MalformedError)


def tower(levels: int, width: int) -> tuple[dict[Cid, bytes], Cid]:
    """A DAG of few blocks that unfolds to width ** levels bytes."""
    cid, size = Cid.of(RAW, b"x"), 1
    blocks = {cid: b"x"}
    for _ in range(levels):
        cid, block = node(*[Link(cid, size, size)] * width)
        blocks[cid] = block
        size *= width
    return blocks, cid


@pytest.mark.parametrize(("levels", "width"), [(unixfs.MAX_DEPTH + 1, 1), (5000, 1), (5, 1024)])
def test_a_dag_that_is_too_deep_or_unfolds_beyond_measure_is_refused(bench: Bench, levels: int, width: int) -> None:
    blocks, root = tower(levels, width)
    refused(bench, car_of(blocks, root), CorruptError)


def test_a_dag_as_deep_as_allowed_is_read_and_cannot_grow_by_instalments(bench: Bench) -> None:
    blocks, root = tower(unixfs.MAX_DEPTH, 2)
    assert bench.store.put_car(car_of(blocks, root)) == [root]
    assert whole(bench.store, root) == b"x" * 64
    cid, block = node(Link(root, 64, 64))
    refused(bench, car_of({cid: block}, cid), CorruptError, "deep")


@pytest.mark.parametrize("size", [3, 5, 1 << 39])
def test_a_declared_size_that_is_not_the_real_one_is_refused(bench: Bench, size: int) -> None:
    leaf = Cid.of(RAW, b"four")
    inner, inner_block = node(Link(leaf, size, 4))
    root, root_block = node(Link(inner, size, 4))
    refused(bench, car_of({leaf: b"four", inner: inner_block, root: root_block}, root), CorruptError, str(inner))


def test_what_no_root_reaches_is_not_kept(bench: Bench) -> None:
    blocks = dict(unixfs.build(BytesIO(content(2 * MIB))))
    alone = Cid.of(RAW, b"alone")
    bench.store.put_car(car_of({**blocks, alone: b"alone"}, alone))
    assert bench.held() == {alone}


def test_a_car_may_lean_on_blocks_that_are_there(bench: Bench) -> None:
    leaf = bench.store.put(BytesIO(b"four"))
    root, block = node(Link(leaf, 4, 4), Link(leaf, 4, 4))
    bench.store.put_car(car_of({root: block}, root))
    assert whole(bench.store, root) == b"fourfour"


class Failing(BytesIO):
    """Gives its bytes, and an error instead of the end."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError("the line went dead")
        return data


def test_a_source_that_fails_leaves_nothing_behind(bench: Bench) -> None:
    for put in (bench.store.put, bench.store.put_car):
        with pytest.raises(OSError, match="dead"):
            put(Failing(car_of({ABSENT: b"nobody put this"}, ABSENT).getvalue()))
        assert bench.held() == set()


def test_removal_keeps_the_blocks_that_others_share(bench: Bench) -> None:
    data = content(2 * MIB)
    long = bench.store.put(BytesIO(data + b"tail"))
    short = bench.store.put(BytesIO(data))
    bench.store.remove(long)
    assert not bench.store.has(long)
    assert whole(bench.store, short) == data
    assert bench.held() == set(dict(unixfs.build(BytesIO(data))))
    bench.store.remove(short)
    assert bench.held() == set()


def test_removal_keeps_a_root_that_lies_inside_another_file(bench: Bench) -> None:
    data = content(2 * MIB)
    outer = bench.store.put(BytesIO(data))
    inner = bench.store.put(BytesIO(data[:MIB]))
    bench.store.remove(inner)
    assert whole(bench.store, outer) == data
    with pytest.raises(NotFoundError):
        bench.store.remove(inner)
    bench.store.put(BytesIO(data[:MIB]))
    bench.store.remove(outer)
    assert bench.held() == {inner}


def test_a_file_of_equal_chunks_put_twice_goes_whole_at_the_first_removal(bench: Bench) -> None:
    root = bench.store.put(BytesIO(bytes(3 * MIB)))
    assert len(bench.held()) == 2
    assert bench.store.put(BytesIO(bytes(3 * MIB))) == root
    assert whole(bench.store, root) == bytes(3 * MIB)
    bench.store.remove(root)
    assert bench.held() == set()


def test_threads_put_read_and_remove_at_once(bench: Bench) -> None:
    shared = content(MIB, 99)

    def one(salt: int) -> bool:
        data = shared + content(5000, salt)
        root = bench.store.put(BytesIO(data))
        came_back = whole(bench.store, root) == data
        bench.store.remove(root)
        return came_back

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(40)))
    assert bench.held() == set()


def test_a_closed_store_answers_nothing(bench: Bench) -> None:
    root = bench.store.put(BytesIO(b"x"))
    bench.store.close()
    bench.store.close()
    for call in (bench.store.block, bench.store.has, bench.store.remove, bench.store.size):
        with pytest.raises(UnavailableError):
            call(root)
    with pytest.raises(UnavailableError):
        bench.store.put(BytesIO(b"y"))
