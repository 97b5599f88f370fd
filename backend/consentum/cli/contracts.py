# SPDX-License-Identifier: Apache-2.0
"""`consentum contracts`: compile them (developers), put them on a chain (once per chain)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from consentum.cli.output import json_option, show
from consentum.errors import SettingsError
from consentum.settings import private_key_from_environment


@click.group("contracts")
def group() -> None:
    """Compile and deploy the contracts."""


@group.command("build")
@click.option(
    "--solc", type=click.Path(path_type=Path, exists=True), default=Path(".tools/bin/solc"), show_default=True
)
@click.option(
    "--packages",
    type=click.Path(path_type=Path, exists=True),
    default=Path("tools/contracts/node_modules"),
    show_default=True,
)
@click.option("--check", is_flag=True, help="Only say whether the committed artifacts are what the sources give.")
@json_option
def build(solc: Path, packages: Path, check: bool, as_json: bool) -> None:
    """Compile contracts/src into contracts/artifacts."""
    from consentum.adapters.chain.compile import compile_contracts, render  # noqa: PLC0415 - slow to load; help is not
    from consentum.crypto.typed import contracts_path  # noqa: PLC0415 - as above

    folder, sizes = contracts_path(), {}
    for name, artifact in compile_contracts(folder, packages.resolve(), solc.resolve()).items():
        target, text = folder / "artifacts" / f"{name}.json", render(artifact)
        if check:
            if not target.is_file() or target.read_text("utf-8") != text:
                raise SettingsError(f"{name}.json is not what the sources give; run: consentum contracts build")
            continue
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, "utf-8")
        sizes[name] = (len(artifact["bytecode"]) - 2) // 2
    show({"bytes": sizes}, [f"{name}: {size} bytes" for name, size in sizes.items()], as_json)


@group.command("deploy")
@click.option("--rpc", required=True, help="URL of the chain's node.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("deployments"), show_default=True)
@json_option
def deploy_command(rpc: str, out: Path, as_json: bool) -> None:
    """Put the contracts on a chain; harmless to repeat.

    CONSENTUM_DEPLOYER_KEY pays; on a development chain its first account does.
    """
    from consentum.adapters.chain.deploy import deploy  # noqa: PLC0415 - as above
    from consentum.adapters.chain.rpc import Rpc  # noqa: PLC0415 - as above
    from consentum.wiring.founding import payer_for  # noqa: PLC0415 - as above

    chain_id = int(str(Rpc(rpc).call("eth_chainId")), 16)
    key = payer_for(rpc, private_key_from_environment("CONSENTUM_DEPLOYER_KEY"))
    path = out / f"{chain_id}.json"
    made = deploy(rpc, path, key, lambda line: click.echo(line, err=as_json))
    show({"path": str(path), "deployment": asdict(made)}, [f"written: {path}"], as_json)
