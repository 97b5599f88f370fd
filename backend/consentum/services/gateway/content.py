# SPDX-License-Identifier: Apache-2.0
"""Sealed contents over HTTP: small ones in as CAR, large ones by an upload that can be interrupted; out as the IPFS
trustless gateway gives them (https://specs.ipfs.tech/http-gateways/trustless-gateway/), block by block or as CAR."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from consentum.adapters.ipfs import car, unixfs
from consentum.adapters.store.uploads import Upload
from consentum.domain.cid import Cid
from consentum.domain.parsing import as_integer, as_list, as_object
from consentum.errors import MalformedError, NotFoundError
from consentum.flow.gateway.sponsoring import deposits_for_someone
from consentum.ports.content import ContentStore
from consentum.services import schemas
from consentum.services.http import Body, SignedIn
from consentum.settings import GatewaySettings
from consentum.wiring.gateway import GatewayProcess

MAX_CAR_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 8 * 1024 * 1024
# Less than a client waits for an answer.
STORING_SECONDS = 15.0
RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
CAR_DFS = f"{CAR_TYPE}; version=1; order=dfs; dups=n"
_FOREVER = {"Cache-Control": "public, max-age=29030400, immutable", "X-Content-Type-Options": "nosniff"}
UploadOffset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=unixfs.MAX_FILE)]
Format = Annotated[str | None, Query(alias="format", max_length=8)]


def add_routes(app: FastAPI, process: GatewayProcess) -> None:
    _batch_routes(app, process)
    _upload_routes(app, process)
    _trustless_routes(app, process)


def _batch_routes(app: FastAPI, process: GatewayProcess) -> None:
    content, gateway = process.content, process.gateway

    @app.post("/v1/content", openapi_extra=schemas.CAR)
    async def put_content(request: Request, who: SignedIn) -> dict[str, Any]:
        """A CAR of sealed records, from whoever deposits for a custodian of the settings; every block is verified, all
        or nothing."""
        if not await run_in_threadpool(deposits_for_someone, gateway, who):
            raise NotFoundError("no such custodian", field="custodian")
        body = io.BytesIO(await request.body())
        roots = await run_in_threadpool(content.put_car, body)
        return {"roots": [str(root) for root in roots]}

    @app.post("/v1/content/car", openapi_extra=schemas.body(schemas.CIDS))
    def get_content(body: Body) -> Response:
        """{cids} to one CAR. Contents are sealed and named by their hash, so anybody may have them."""
        texts = as_list(as_object(body, "request", "cids")["cids"], "cids", str)
        cids = [Cid.parse(text) for text in dict.fromkeys(texts)]
        if sum(content.size(cid) for cid in cids) > MAX_CAR_BYTES:
            raise MalformedError(f"ask for at most {MAX_CAR_BYTES} bytes at a time", field="cids")
        sink = io.BytesIO()
        content.export_car(cids, sink)
        return Response(sink.getvalue(), media_type=CAR_TYPE)


def _upload_routes(app: FastAPI, process: GatewayProcess) -> None:
    uploads, settings = process.uploads, process.settings

    def told(who: str, upload: Upload, response: Response) -> dict[str, Any]:
        return _told(uploads.complete(who, upload.id, STORING_SECONDS), _piece(settings), response)

    @app.post("/v1/uploads", openapi_extra=schemas.body(schemas.UPLOAD))
    def begin(body: Body, who: SignedIn, response: Response) -> dict[str, Any]:
        """{cid, size} of one sealed record, from whoever deposits for a custodian of the settings. Said again it is the
        same upload, and its offset says where to go on."""
        asked = as_object(body, "request", "cid", "size")
        if not isinstance(asked["cid"], str):
            raise MalformedError("a CID is text", field="cid")
        cid, size = Cid.parse(asked["cid"]), as_integer(asked["size"], "size", unixfs.MAX_FILE + 1)
        if not deposits_for_someone(process.gateway, who):
            raise NotFoundError("no such custodian", field="custodian")
        return told(who, uploads.begin(who, cid, size), response)

    @app.patch("/v1/uploads/{upload}", openapi_extra=schemas.PIECE)
    async def append(
        upload: str, request: Request, who: SignedIn, offset: UploadOffset, response: Response
    ) -> dict[str, Any]:
        """The next bytes, at most `piece` of them; durable when answered. With the last ones the whole is verified and
        stored, and the answer has its root."""
        piece = await request.body()
        if len(piece) > _piece(settings):
            raise MalformedError(f"a piece has at most {_piece(settings)} bytes", field="body")
        found = await run_in_threadpool(uploads.append, who, upload, offset, piece)
        return await run_in_threadpool(told, who, found, response)

    @app.get("/v1/uploads/{upload}")
    def state(upload: str, who: SignedIn, response: Response) -> dict[str, Any]:
        """How much has arrived, and the root once it is stored."""
        return told(who, uploads.find(who, upload), response)

    @app.head("/v1/uploads/{upload}")
    def offset_(upload: str, who: SignedIn, response: Response) -> None:
        """The same, as the header Upload-Offset alone."""
        response.headers["Upload-Offset"] = str(uploads.find(who, upload).offset)


def _piece(settings: GatewaySettings) -> int:
    return min(PIECE_BYTES, settings.max_body_bytes)


def _told(upload: Upload, piece: int, response: Response) -> dict[str, Any]:
    """What the caller has to know to go on."""
    response.headers["Upload-Offset"] = str(upload.offset)
    root = str(upload.cid) if upload.state == "stored" else None
    return {"upload": upload.id, "offset": upload.offset, "size": upload.size, "piece": piece, "root": root}


def _trustless_routes(app: FastAPI, process: GatewayProcess) -> None:
    content = process.content

    @app.get("/ipfs/{cid}", response_class=Response)
    def read(cid: str, wanted: Format = None, accept: Annotated[str | None, Header()] = None) -> Response:
        """One block (format=raw), or a content's blocks, parents first, each once (format=car). Contents are sealed and
        named by their hash, so anybody may have them; who reads verifies."""
        root, is_car, headers = _asked(cid, wanted, accept)
        if not is_car:
            return Response(content.block(root), headers=headers, media_type=RAW_TYPE)
        if not content.has(root):
            raise NotFoundError("this content is not here, or not whole", field="cid")
        return StreamingResponse(_blocks(content, root), headers=headers, media_type=CAR_DFS)

    @app.head("/ipfs/{cid}", response_class=Response)
    def look(cid: str, wanted: Format = None, accept: Annotated[str | None, Header()] = None) -> Response:
        """Whether it is here."""
        root, is_car, headers = _asked(cid, wanted, accept)
        if is_car and not content.has(root):
            raise NotFoundError("this content is not here, or not whole", field="cid")
        if not is_car:
            headers["Content-Length"] = str(len(content.block(root)))
        return Response(headers=headers, media_type=CAR_TYPE if is_car else RAW_TYPE)


def _blocks(content: ContentStore, root: Cid) -> Iterator[bytes]:
    yield car.header([root])
    for cid, block in unixfs.under(content.block, [root]):
        yield car.section(cid, block)


def _asked(text: str, wanted: str | None, accept: str | None) -> tuple[Cid, bool, dict[str, str]]:
    """The CID, whether it is a CAR that is asked for, and the headers."""
    cid, kind = Cid.parse(text), wanted or _accepted(accept or "")
    if kind not in ("raw", "car"):
        raise MalformedError("ask for ?format=raw or ?format=car: this gateway opens nothing", field="format")
    suffix = "bin" if kind == "raw" else "car"
    headers = {"Etag": f'"{cid}.{kind}"', "Content-Disposition": f'attachment; filename="{cid}.{suffix}"'}
    return cid, kind == "car", {**_FOREVER, **headers}


def _accepted(header: str) -> str:
    """What an Accept header asks for; the format in the address goes before it."""
    kinds = [part.partition(";")[0].strip() for part in header.split(",")]
    return next((name for kind, name in ((RAW_TYPE, "raw"), (CAR_TYPE, "car")) if kind in kinds), "")
