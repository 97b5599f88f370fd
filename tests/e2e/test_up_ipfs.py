# SPDX-License-Identifier: Apache-2.0
"""`consentum up --ipfs`: a system whose records are in an IPFS node, and what it says when the node is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.demonstration.kubo import KuboNode
from tests.e2e.test_up import consentum, free_ports
from tests.kubo import NewKubo

pytestmark = pytest.mark.processes


def test_a_system_keeps_records_in_a_node_and_says_when_it_is_gone(new_kubo: NewKubo, tmp_path: Path) -> None:
    node = new_kubo()
    where = ("--folder", str(tmp_path / "system"))
    start = ("up", "--detach", *where, "--port", str(free_ports(6, 30_000)), "--ipfs")
    code, told = consentum(*start, "http://127.0.0.1:1")
    assert (code, told["code"], told["field"]) == (1, "UNAVAILABLE", "ipfs")
    try:
        code, told = consentum(*start, node.rpc_url)
        assert (code, told["ipfs"]) == (0, [node.rpc_url])
        assert not (tmp_path / "system" / "gateway" / "blocks.db").exists()
        node.kill()
        assert consentum("status", *where)[1]["processes"]["gateway"]["why"] == {"content": "UNAVAILABLE"}
        again = KuboNode.start(node.folder, node.program)
        assert consentum("status", *where)[1]["ready"]
        again.stop()
    finally:
        consentum("down", *where)
