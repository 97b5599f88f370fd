# SPDX-License-Identifier: Apache-2.0
"""Which leaf of a file's DAG holds a byte, with as few blocks as that takes: nodes are fetched when they are on the
way, and a few are kept."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate

from consentum.adapters.ipfs.unixfs import MAX_DEPTH, Fetch, Link, decode_node
from consentum.domain.cid import RAW, Cid
from consentum.errors import CorruptError, MalformedError

KEPT_NODES = 16


@dataclass(frozen=True, slots=True)
class Leaf:
    """Bytes [start, start + size) of the file are the block `cid`, its parent declares: whoever fetches it checks."""

    cid: Cid
    start: int
    size: int


class Tree:
    """The DAG under `root`. `fetch` gives verified blocks. CorruptError and NotFoundError as `unixfs.read_range`."""

    def __init__(self, fetch: Fetch, root: Cid) -> None:
        self._fetch = fetch
        self._nodes: OrderedDict[Cid, tuple[list[Link], list[int]]] = OrderedDict()
        self._root = root
        self.size = len(fetch(root)) if root.codec == RAW else self._node(root)[1][-1]

    def leaf_at(self, offset: int) -> Leaf:
        """The leaf that holds the byte at `offset`. MalformedError for one before or behind the file."""
        if not 0 <= offset < self.size:
            raise MalformedError("an offset outside the file")
        link, start, depth = Link(self._root, self.size, 0), 0, 0
        while link.cid.codec != RAW:
            if depth > MAX_DEPTH:
                raise CorruptError(f"block {link.cid} lies too deep")
            links, ends = self._node(link.cid)
            if ends[-1] != link.size:
                raise CorruptError(f"block {link.cid} is not of the size its parent declares")
            place = bisect_right(ends, offset - start)
            start += ends[place] - links[place].size
            link, depth = links[place], depth + 1
        return Leaf(link.cid, start, link.size)

    def _node(self, cid: Cid) -> tuple[list[Link], list[int]]:
        """Its links, and where in its own bytes each ends."""
        found = self._nodes.get(cid)
        if found is None:
            links = decode_node(cid, self._fetch(cid))
            found = self._nodes[cid] = links, list(accumulate(link.size for link in links))
            if len(self._nodes) > KEPT_NODES:
                self._nodes.popitem(last=False)
        self._nodes.move_to_end(cid)
        return found
