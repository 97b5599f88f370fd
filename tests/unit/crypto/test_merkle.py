# SPDX-License-Identifier: Apache-2.0
"""RFC 9162 trees: the Certificate Transparency reference data, a naive transcription of the RFC, and tampering."""

from __future__ import annotations

import hashlib
import itertools
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentum.crypto import merkle
from consentum.errors import CorruptError, MalformedError

SIZES = range(41)
DATA = [b"leaf %d" % i for i in range(max(SIZES))]
HASHES = [merkle.leaf_hash(data) for data in DATA]
TREE = merkle.Tree(HASHES)

# The reference leaves, roots and proofs of the Certificate Transparency project (merkle_tree_test.cc).
CT_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B, C, D, E, F, G = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
]
CT_INCLUSION = [(0, 1, []), (0, 8, [A, B, C]), (5, 8, [D, E, F]), (2, 3, [CT_ROOTS[2]]), (6, 7, [G, F])]
CT_CONSISTENCY = [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [G, E, F]), (2, 5, [B, D])]


def below(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = below(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162 section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = below(len(leaves))
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(old: int, leaves: list[bytes], known: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162 section 2.1.4.1."""
    if old == len(leaves):
        return [] if known else [naive_root(leaves)]
    k = below(len(leaves))
    if old <= k:
        return [*naive_subproof(old, leaves[:k], known), naive_root(leaves[k:])]
    return [*naive_subproof(old - k, leaves[k:], False), naive_root(leaves[:k])]


def test_the_reference_leaves_have_the_reference_roots() -> None:
    tree = merkle.Tree(merkle.leaf_hash(leaf) for leaf in CT_LEAVES)
    for size, root in enumerate(CT_ROOTS):
        assert merkle.root_of(CT_LEAVES[:size]).hex() == root
        assert tree.root(size).hex() == root


@pytest.mark.parametrize(("index", "size", "proof"), CT_INCLUSION)
def test_the_reference_inclusion_proofs_are_made_and_accepted(index: int, size: int, proof: list[str]) -> None:
    tree = merkle.Tree(merkle.leaf_hash(leaf) for leaf in CT_LEAVES)
    assert [node.hex() for node in tree.inclusion_proof(index, size)] == proof
    nodes = [bytes.fromhex(node) for node in proof]
    merkle.verify_inclusion(merkle.leaf_hash(CT_LEAVES[index]), index, size, nodes, bytes.fromhex(CT_ROOTS[size]))


@pytest.mark.parametrize(("old", "new", "proof"), CT_CONSISTENCY)
def test_the_reference_consistency_proofs_are_made_and_accepted(old: int, new: int, proof: list[str]) -> None:
    tree = merkle.Tree(merkle.leaf_hash(leaf) for leaf in CT_LEAVES)
    assert [node.hex() for node in tree.consistency_proof(old, new)] == proof
    roots = bytes.fromhex(CT_ROOTS[old]), bytes.fromhex(CT_ROOTS[new])
    merkle.verify_consistency(old, roots[0], new, roots[1], [bytes.fromhex(node) for node in proof])


@pytest.mark.parametrize("size", SIZES)
def test_roots_are_those_of_the_rfcs_definition(size: int) -> None:
    expected = naive_root(DATA[:size])
    assert merkle.root_of(DATA[:size]) == expected
    assert merkle.root_from_hashes(HASHES[:size]) == expected
    assert TREE.root(size) == expected
    assert merkle.Tree(HASHES[:size]).root() == expected


@pytest.mark.parametrize("size", SIZES)
def test_every_inclusion_proof_is_the_rfcs_and_verifies(size: int) -> None:
    root = TREE.root(size)
    for index in range(size):
        proof = TREE.inclusion_proof(index, size)
        assert proof == naive_path(index, DATA[:size])
        merkle.verify_inclusion(HASHES[index], index, size, proof, root)


@pytest.mark.parametrize("new", SIZES)
def test_every_consistency_proof_is_the_rfcs_and_verifies(new: int) -> None:
    for old in range(new + 1):
        proof = TREE.consistency_proof(old, new)
        assert proof == (naive_subproof(old, DATA[:new], True) if old else [])
        merkle.verify_consistency(old, TREE.root(old), new, TREE.root(new), proof)


def test_appending_tells_the_index_and_extending_that_of_the_first() -> None:
    tree = merkle.Tree()
    assert (tree.size, tree.root()) == (0, merkle.EMPTY_ROOT)
    assert [tree.append(digest) for digest in HASHES[:3]] == [0, 1, 2]
    assert tree.extend(HASHES[3:10]) == 3
    assert (tree.size, tree.root()) == (10, TREE.root(10))


@given(st.lists(st.binary(max_size=40), max_size=300))
def test_a_tree_grown_leaf_by_leaf_has_the_root_of_the_whole(leaves: list[bytes]) -> None:
    tree = merkle.Tree()
    for leaf in leaves:
        tree.append(merkle.leaf_hash(leaf))
    assert tree.root() == merkle.root_of(leaves) == naive_root(leaves)


def test_proofs_of_a_large_tree_are_short_and_verify() -> None:
    tree = merkle.Tree(secrets.token_bytes(32) for _ in range(100_003))
    root = tree.root(99_999)
    leaf = bytes(tree._levels[0][32 * 77_777 : 32 * 77_778])
    proof = tree.inclusion_proof(77_777, 99_999)
    assert len(proof) <= 17
    merkle.verify_inclusion(leaf, 77_777, 99_999, proof, root)
    merkle.verify_consistency(70_001, tree.root(70_001), 99_999, root, tree.consistency_proof(70_001, 99_999))


def refused_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    with pytest.raises(CorruptError):
        merkle.verify_inclusion(leaf, index, size, proof, root)


def refused_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> None:
    with pytest.raises(CorruptError):
        merkle.verify_consistency(old, old_root, new, new_root, proof)


def damaged(proof: list[bytes]) -> list[list[bytes]]:
    """Every node flipped, left out, doubled or exchanged with the next, and a node too many at either end."""
    variants = [[bytes(32), *proof], [*proof, bytes(32)]]
    for i, node in enumerate(proof):
        variants.append([*proof[:i], bytes([node[0] ^ 1]) + node[1:], *proof[i + 1 :]])
        variants.append([*proof[:i], node[:31], *proof[i + 1 :]])
        variants.append([*proof[:i], *proof[i + 1 :]])
        variants.append([*proof[:i], node, *proof[i:]])
        if i + 1 < len(proof):
            variants.append([*proof[:i], proof[i + 1], node, *proof[i + 2 :]])
    return variants


@pytest.mark.parametrize("size", range(1, 20))
def test_a_damaged_inclusion_proof_is_refused(size: int) -> None:
    root = TREE.root(size)
    for index in range(size):
        for proof in damaged(TREE.inclusion_proof(index, size)):
            refused_inclusion(HASHES[index], index, size, proof, root)


@pytest.mark.parametrize("size", range(1, 20))
def test_an_inclusion_proof_of_another_leaf_index_or_root_is_refused(size: int) -> None:
    root = TREE.root(size)
    for index in range(size):
        proof = TREE.inclusion_proof(index, size)
        refused_inclusion(HASHES[20], index, size, proof, root)
        refused_inclusion(HASHES[index], index, size, proof, TREE.root(size + 1))
        for other in range(-1, size + 1):
            if other != index:
                refused_inclusion(HASHES[index], other, size, proof, root)


def test_an_inner_node_is_no_leaf() -> None:
    root, inner = TREE.root(4), TREE.root(2)
    refused_inclusion(inner, 0, 2, TREE.inclusion_proof(0, 4)[1:], merkle.leaf_hash(root))
    assert merkle.leaf_hash(HASHES[0] + HASHES[1]) != inner


@pytest.mark.parametrize("new", range(1, 20))
def test_a_damaged_consistency_proof_is_refused(new: int) -> None:
    for old in range(1, new + 1):
        for proof in damaged(TREE.consistency_proof(old, new)):
            refused_consistency(old, TREE.root(old), new, TREE.root(new), proof)


@pytest.mark.parametrize("new", range(1, 20))
def test_a_consistency_proof_between_other_roots_is_refused(new: int) -> None:
    for old in range(1, new + 1):
        proof = TREE.consistency_proof(old, new)
        refused_consistency(old, TREE.root(old + 1), new, TREE.root(new), proof)
        refused_consistency(old, TREE.root(old), new, TREE.root(new + 1), proof)
        refused_consistency(old, b"", new, TREE.root(new), proof)


def test_a_log_that_rewrote_a_leaf_has_no_proof() -> None:
    for old, new in itertools.combinations(range(1, 14), 2):
        for rewritten in range(old):
            forged = merkle.Tree([*HASHES[:rewritten], merkle.leaf_hash(b"another"), *HASHES[rewritten + 1 : new]])
            refused_consistency(old, TREE.root(old), new, forged.root(), forged.consistency_proof(old, new))


def test_a_proof_is_refused_under_sizes_for_which_it_is_too_short_or_too_long() -> None:
    for new in range(2, 20):
        for old in range(1, new):
            proof = TREE.consistency_proof(old, new)
            refused_consistency(old, TREE.root(old), 1 << 20, TREE.root(new), proof)
    refused_consistency(3, TREE.root(7), 4, TREE.root(8), TREE.consistency_proof(7, 8))
    refused_inclusion(HASHES[1], 0, 1, TREE.inclusion_proof(1, 2), TREE.root(2))
    refused_inclusion(HASHES[0], 0, 1 << 20, TREE.inclusion_proof(0, 2), TREE.root(2))


def test_a_log_does_not_shrink() -> None:
    refused_consistency(5, TREE.root(5), 4, TREE.root(4), [])
    refused_consistency(-1, TREE.root(0), 4, TREE.root(4), [])


def test_only_the_true_empty_tree_is_the_beginning_of_every_tree() -> None:
    merkle.verify_consistency(0, merkle.EMPTY_ROOT, 7, TREE.root(7), [])
    merkle.verify_consistency(0, merkle.EMPTY_ROOT, 0, merkle.EMPTY_ROOT, [])
    refused_consistency(0, TREE.root(1), 7, TREE.root(7), [])
    refused_consistency(0, merkle.EMPTY_ROOT, 7, TREE.root(7), [TREE.root(7)])
    refused_consistency(0, merkle.EMPTY_ROOT, 0, TREE.root(7), [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3), (0, 41), (40, 41), (0, -1)])
def test_a_proof_for_a_leaf_that_is_not_there_is_refused(index: int, size: int) -> None:
    with pytest.raises(MalformedError):
        TREE.inclusion_proof(index, size)


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2), (0, 41), (41, 41)])
def test_a_proof_between_sizes_that_never_were_is_refused(old: int, new: int) -> None:
    with pytest.raises(MalformedError):
        TREE.consistency_proof(old, new)


@pytest.mark.parametrize("size", [-1, 41])
def test_a_root_of_a_size_that_never_was_is_refused(size: int) -> None:
    with pytest.raises(MalformedError):
        TREE.root(size)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_a_hash_of_another_length_is_refused_and_changes_nothing(digest: bytes) -> None:
    tree = merkle.Tree(HASHES[:5])
    with pytest.raises(MalformedError):
        tree.append(digest)
    with pytest.raises(MalformedError):
        tree.extend([HASHES[5], digest])
    with pytest.raises(MalformedError):
        merkle.root_from_hashes([HASHES[0], digest])
    assert (tree.size, tree.root()) == (5, TREE.root(5))
