# SPDX-License-Identifier: Apache-2.0
"""Merkle trees of RFC 9162 section 2.1 with SHA-256: the journal's log and the roots over record ids.

A leaf is SHA-256(0x00 ‖ data), a node SHA-256(0x01 ‖ left ‖ right), the empty tree SHA-256(""). The two prefixes keep
a node from being passed off as a leaf. Hashes are 32 bytes, indices and sizes count leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from consentum.errors import CorruptError, MalformedError

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over the data of the leaves, in order."""
    return root_from_hashes([leaf_hash(data) for data in leaves])


def root_from_hashes(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, in order. Raises MalformedError if one is not 32 bytes."""
    level = list(hashes)
    if any(len(digest) != HASH_SIZE for digest in level):
        raise MalformedError("a leaf hash is 32 bytes")
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        above = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = above + level[len(above) * 2 :]  # an odd one out moves up as it is
    return level[0]


class Tree:
    """An append-only tree that holds the hash of every complete subtree: 64 bytes of memory per leaf.

    Level k is the concatenation of the roots of the subtrees of 2^k leaves that are full. A root of any earlier size
    and any proof are then O(log size) look-ups and hashes.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        """Raises MalformedError if a hash is not 32 bytes."""
        self._levels: list[bytearray] = [bytearray()]
        self.extend(leaf_hashes)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf_hash: bytes) -> int:
        """Add one leaf; returns its index. Raises MalformedError if the hash is not 32 bytes."""
        if len(leaf_hash) != HASH_SIZE:
            raise MalformedError("a leaf hash is 32 bytes")
        index = position = self.size
        level, digest = 0, leaf_hash
        self._levels[0] += digest
        while position & 1:
            digest = _node(self._at(level, position - 1), digest)
            level, position = level + 1, position >> 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += digest
        return index

    def extend(self, leaf_hashes: Iterable[bytes]) -> int:
        """Add leaves in order, all or none; returns the index of the first. Raises as `append`."""
        added, first = list(leaf_hashes), self.size
        if any(len(digest) != HASH_SIZE for digest in added):
            raise MalformedError("a leaf hash is 32 bytes")
        for digest in added:
            self.append(digest)
        return first

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves, of all without it. Raises MalformedError if there are not so many."""
        size = self.size if size is None else size
        if not 0 <= size <= self.size:
            raise MalformedError("the tree was never of that size")
        return self._subroot(0, size)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The path from leaf `index` to the root of the first `size` leaves, leaf first (RFC 9162 section 2.1.3.1).

        Raises MalformedError unless 0 <= index < size <= the tree's size.
        """
        if not 0 <= index < size <= self.size:
            raise MalformedError("no such leaf in a tree of that size")
        path = []
        begin, end = 0, size
        while end - begin > 1:
            middle = begin + _split(end - begin)
            if index < middle:
                path.append(self._subroot(middle, end))
                end = middle
            else:
                path.append(self._subroot(begin, middle))
                begin = middle
        return path[::-1]

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """That the first `old` leaves are the beginning of the first `new` (RFC 9162 section 2.1.4.1).

        Empty for equal sizes and for `old` 0, from which every tree has grown. Raises MalformedError unless
        0 <= old <= new <= the tree's size.
        """
        if not 0 <= old <= new <= self.size:
            raise MalformedError("the tree never grew between those sizes")
        if old in (0, new):
            return []
        path = []
        begin, end, known = 0, new, True  # known: the old root itself, which the verifier has
        while old != end:
            middle = begin + _split(end - begin)
            if old <= middle:
                path.append(self._subroot(middle, end))
                end = middle
            else:
                path.append(self._subroot(begin, middle))
                begin, known = middle, False
        if not known:
            path.append(self._subroot(begin, end))
        return path[::-1]

    def _at(self, level: int, position: int) -> bytes:
        return bytes(self._levels[level][position * HASH_SIZE : (position + 1) * HASH_SIZE])

    def _subroot(self, begin: int, end: int) -> bytes:
        """The root over leaves [begin, end), where `begin` is a multiple of the largest full subtree inside."""
        if begin == end:
            return EMPTY_ROOT
        full = []  # the full subtrees from left to right, each smaller than the one before
        while begin < end:
            level = (end - begin).bit_length() - 1
            full.append(self._at(level, begin >> level))
            begin += 1 << level
        digest = full.pop()
        while full:
            digest = _node(full.pop(), digest)
        return digest


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf is number `index` of the `size` under `root`, else raise CorruptError.

    RFC 9162 section 2.1.3.2. Index and size must come from the signed checkpoint, not from the proof's sender.
    """
    if not 0 <= index < size:
        raise CorruptError("no such leaf in a tree of that size")
    _check_hashes(leaf_hash, root, *proof)
    position, last, digest = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise CorruptError("the inclusion proof is too long")
        if position & 1 or position == last:
            digest = _node(sibling, digest)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            digest = _node(digest, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or digest != root:
        raise CorruptError("the inclusion proof does not lead to the root")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if the tree of `new_size` only added to that of `old_size`, else raise CorruptError.

    RFC 9162 section 2.1.4.2. Every tree extends the empty one, with an empty proof.
    """
    if not 0 <= old_size <= new_size:
        raise CorruptError("a log does not shrink")
    _check_hashes(old_root, new_root, *proof)
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or old_root != expected or (new_size == 0 and new_root != EMPTY_ROOT):
            raise CorruptError("the consistency proof does not lead to the roots")
        return
    old_found, new_found = _climb(old_size, new_size, old_root, proof)
    if old_found != old_root or new_found != new_root:
        raise CorruptError("the consistency proof does not lead to the roots")


def _climb(old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The old and the new root that a proof between 0 < old_size < new_size leads to."""
    # A full old tree is itself the first node, which the proof leaves out.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise CorruptError("the consistency proof is too short")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_found = new_found = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise CorruptError("the consistency proof is too long")
        if position & 1 or position == last:
            old_found, new_found = _node(sibling, old_found), _node(sibling, new_found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_found = _node(new_found, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise CorruptError("the consistency proof is too short")
    return old_found, new_found


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below `size` (at least 2): where RFC 9162 divides a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_hashes(*hashes: bytes) -> None:
    if any(len(digest) != HASH_SIZE for digest in hashes):
        raise CorruptError("a hash is 32 bytes")
