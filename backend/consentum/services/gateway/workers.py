# SPDX-License-Identifier: Apache-2.0
"""A gateway of several processes: the parent holds the folder, each worker serves, one does the background work."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from consentum.adapters.store.files import FolderLock
from consentum.services import logs
from consentum.services.gateway.app import create_app
from consentum.services.serve import options, serve
from consentum.settings import GatewaySettings, hand_to_workers, handed_to_worker
from consentum.wiring.gateway import build
from consentum.wiring.ports import require_to_serve

PARENT_SECONDS = 1.0
# A worker that says nothing for so long is replaced; on a busy machine starting one alone takes several seconds.
HEALTH_SECONDS = 60


def serve_gateway(folder: Path, relay: bool = True) -> None:
    """Serves a gateway until stopped, with as many workers as its settings say."""
    settings = GatewaySettings.load(folder)
    require_to_serve(folder, settings.host, settings.port)
    if settings.workers == 1:
        process = build(folder, relay=relay)
        serve(create_app(process), process.settings)
        return
    lock = FolderLock(folder)
    build(folder, worker=True).close()  # what is wrong with the folder is said once, here
    hand_to_workers(folder, relay)
    try:
        uvicorn.run(
            "consentum.services.gateway.workers:worker",
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=HEALTH_SECONDS,
            **options(settings),
        )
    finally:
        lock.release()


def worker() -> FastAPI:
    """The application of one worker; it ends when its parent does, even by kill -9."""
    folder, relay, parent = handed_to_worker()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    logs.begin()
    threading.Thread(target=watch, daemon=True).start()
    return create_app(build(folder, relay=relay, worker=True))
