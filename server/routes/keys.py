"""API keys: what one's own may do, and for an administrator all of them."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, TheHouse, problems
from server.guard import Caller
from server.keys import Key, Keys
from server.schemas_operation import KeyAnswer, KeyInfo, KeyRequest, KeysAnswer, WhoAmIAnswer

router = APIRouter(tags=["keys"], route_class=Guarded)


@router.get("/v1/whoami", responses=problems(503))
async def whoami(request: Request, house: TheHouse) -> WhoAmIAnswer:
    """What the caller may do. 401 says that the service wants a key; one that wants none gives all scopes."""
    caller: Caller = request.state.caller
    return WhoAmIAnswer(
        authentication=house.guard.authenticates,
        key_id=caller.key.id if caller.key else None,
        name=caller.key.name if caller.key else None,
        scopes=list(caller.scopes),
        version=request.app.version,
    )


@router.get("/admin/keys", response_model=KeysAnswer, responses=problems(503))
async def list_keys(door: TheDoor) -> Response:
    """Every key that was ever made, without the keys themselves: those are known to their holders alone."""
    return await door.answer(lambda: KeysAnswer(keys=[_info(key) for key in Keys(door.service.store).all()]))


@router.post("/admin/keys", response_model=KeyAnswer, status_code=201, responses=problems(400, 413, 422, 503))
async def create_key(body: KeyRequest, door: TheDoor) -> Response:
    """Make a key. The answer holds it, and nothing else ever will."""

    def create() -> KeyAnswer:
        key, text = Keys(door.service.store).create(body.name, body.scopes, body.days)
        return KeyAnswer(key=text, **_info(key).model_dump())

    return await door.answer(create, lambda _: 201)


@router.delete("/admin/keys/{key_id}", response_model=KeyInfo, responses=problems(404, 422, 503))
async def revoke_key(key_id: str, door: TheDoor) -> Response:
    """End a key, for good; within two seconds no replica knows it any more."""
    return await door.answer(lambda: _info(Keys(door.service.store).revoke(key_id)))


def _info(key: Key) -> KeyInfo:
    return KeyInfo(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        created=_moment(key.created_ms),
        expires=None if key.expires_ms is None else _moment(key.expires_ms),
        revoked=None if key.revoked_ms is None else _moment(key.revoked_ms),
        valid=key.valid,
    )


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
