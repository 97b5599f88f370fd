# SPDX-License-Identifier: Apache-2.0
"""The secrets of one key server, in a file that only its owner can read."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from consentum.adapters.store.files import read_private, write_private
from consentum.errors import KeyFileError


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The secrets of one server, 32 bytes each: account (chain), checkpoint (Ed25519), master (wraps the vault's keys),
    sealing seeds by epoch."""

    account: bytes
    checkpoint: bytes
    master: bytes
    sealing: dict[int, bytes]

    @classmethod
    def create(cls, path: Path) -> KeyFile:
        account, checkpoint, master, seed = (secrets.token_bytes(32) for _ in range(4))
        keys = cls(account, checkpoint, master, {1: seed})
        write_private(path, keys.to_bytes())
        return keys

    @classmethod
    def load(cls, path: Path) -> KeyFile:
        return cls.from_bytes(read_private(path), path.name)

    def to_bytes(self) -> bytes:
        content = {
            "account": self.account.hex(),
            "checkpoint": self.checkpoint.hex(),
            "master": self.master.hex(),
            "sealing": {str(epoch): seed.hex() for epoch, seed in self.sealing.items()},
        }
        return json.dumps(content, indent=2).encode()

    def with_epoch(self, epoch: int) -> KeyFile:
        """With a fresh sealing key of that epoch; all others stay, to open deposits that are still on their way."""
        return replace(self, sealing={**self.sealing, epoch: secrets.token_bytes(32)})

    @classmethod
    def from_bytes(cls, raw: bytes, name: str) -> KeyFile:
        """KeyFileError, naming the file, if it is damaged."""
        try:
            data = json.loads(raw)
            secrets_ = [bytes.fromhex(data[name]) for name in ("account", "checkpoint", "master")]
            sealing = {int(epoch): bytes.fromhex(seed) for epoch, seed in data["sealing"].items()}
            if not sealing or any(len(secret) != 32 for secret in [*secrets_, *sealing.values()]):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise KeyFileError("the key file is damaged", field=name) from None
        return cls(secrets_[0], secrets_[1], secrets_[2], sealing)
