"""The operators' API: JSON over HTTP with a bearer token, the same answer from every instance."""

import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web
from faust import Service

from stream.control.alerts import Action, AlertState, Command, IllegalTransition
from stream.control.ledger import Ledger
from stream.control.peers import LOCAL_HEADER, Peers
from stream.control.tokens import Tokens
from stream.control.views import Filter, View, nearest, page, view
from stream.errors import RetriableError

ALERTS = "/v1/alerts"
LIMIT_MAX = 1_000
_LIMIT_DEFAULT = 100
_REASON_MAX = 1_000
_BODY_BYTES_MAX = 16_384
_OPEN_PATHS = ("/healthz", "/readyz")
_SEVERITIES = ("unknown", "info", "warning", "critical")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Refused(Exception):
    """A request that is answered with this status and sentence."""

    def __init__(self, status: int, sentence: str, **more: object) -> None:
        super().__init__(sentence)
        self.status = status
        self.body: View = {"error": sentence, **more}


class Api(Service):  # type: ignore[misc]
    """Serves on a socket that is bound already, from Faust's event loop, for as long as Faust runs."""

    logger = logging.getLogger("faust.web")

    def __init__(self, ledger: Ledger, peers: Peers, tokens: Tokens, listening: socket.socket) -> None:
        super().__init__()
        self._ledger = ledger
        self._peers = peers
        self._tokens = tokens
        self._listening = listening
        self._runner = web.AppRunner(self._application(), access_log=None)

    async def on_start(self) -> None:
        """Begin to answer."""
        await self._peers.start()
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening).start()

    async def on_stop(self) -> None:
        """Finish what is being answered, then close."""
        await self._runner.cleanup()
        await self._peers.stop()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_errors, self._authorized], client_max_size=_BODY_BYTES_MAX)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get(ALERTS, self._list)
        application.router.add_get(ALERTS + "/{id}", self._show)
        application.router.add_post(ALERTS + "/{id}/acknowledge", self._acknowledge)
        application.router.add_post(ALERTS + "/{id}/resolve", self._resolve)
        return application

    @web.middleware
    async def _authorized(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _OPEN_PATHS:
            return await handler(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        name = self._tokens.name_of(token.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            raise _Refused(401, "give a token of this control plane: Authorization: Bearer TOKEN")
        request["name"] = name
        self._check_ready()
        return await handler(request)

    async def _healthz(self, _: web.Request) -> web.Response:
        return _json(200, {"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        self._check_ready()
        return _json(200, {"status": "running"})

    async def _list(self, request: web.Request) -> web.Response:
        wanted = _filter(request)
        limit, after = _limit(request), request.query.get("after")
        views = [view(tracked) for tracked in self._ledger.alerts() if wanted.takes(tracked)]
        if LOCAL_HEADER in request.headers:
            return _json(200, {"alerts": views})
        query = {name: value for name, value in request.query.items() if name not in ("limit", "after")}
        for answer in await self._peers.ask_all(ALERTS, query, request.headers["Authorization"]):
            views += answer["alerts"]
        try:
            return _json(200, page(views, limit, after))
        except KeyError as missing:
            raise _Refused(400, f"after={missing.args[0]} is not in this list: begin again without it") from missing

    async def _show(self, request: web.Request) -> web.Response:
        tracked = self._ledger.find(request.match_info["id"])
        if tracked is not None:
            return _json(200, view(tracked))
        return await self._from_owner(request, "", None)

    async def _acknowledge(self, request: web.Request) -> web.Response:
        return await self._act(request, Action.ACKNOWLEDGE)

    async def _resolve(self, request: web.Request) -> web.Response:
        return await self._act(request, Action.RESOLVE)

    async def _act(self, request: web.Request, action: Action) -> web.Response:
        alert_id, reason = request.match_info["id"], await _reason(request)
        if action is Action.RESOLVE and not reason:
            raise _Refused(400, 'say why the alert is resolved: {"reason": "..."}')
        if self._ledger.find(alert_id) is None:
            return await self._from_owner(request, f"/{action.value}", {"reason": reason})
        command = Command(str(uuid.uuid4()), alert_id, action, request["name"], time.time_ns() // 1_000_000, reason)
        return _json(200, view(await self._ledger.act(command)))

    async def _from_owner(self, request: web.Request, action: str, body: View | None) -> web.Response:
        """The answer of the instance that has the alert, or that there is no such alert."""
        alert_id, authorization = request.match_info["id"], request.headers["Authorization"]
        known = [tracked.alert.id for tracked in self._ledger.alerts()]
        if LOCAL_HEADER not in request.headers:
            path = f"{ALERTS}/{quote(alert_id, safe='')}{action}"
            answer = await self._peers.send_to_owner(request.method, path, authorization, body)
            if answer is not None:
                return _json(*answer)
            for others in await self._peers.ask_all(ALERTS, {}, authorization):
                known += [shown["id"] for shown in others["alerts"]]
        raise _Refused(404, f"there is no alert {alert_id}", nearest=nearest(alert_id, known))

    def _check_ready(self) -> None:
        if not self._ledger.is_ready:
            raise RetriableError("the control plane is reading its table back: try again in a few seconds")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _Refused as refused:
        return _json(refused.status, refused.body)
    except IllegalTransition as refusal:
        return _json(409, {"error": str(refusal)})
    except RetriableError as error:
        return _json(503, {"error": str(error)})
    except web.HTTPException as error:
        return _json(error.status, {"error": f"{request.method} {request.path}: {error.reason}"})


def _filter(request: web.Request) -> Filter:
    query = request.query
    unknown = sorted(query.keys() - {"state", "severity", "model", "limit", "after"})
    if unknown:
        raise _Refused(400, f"{', '.join(unknown)} is no filter: use state, severity, model, limit, after")
    states = [state.value for state in AlertState]
    state = _one_of(query.get("state"), states, "state")
    return Filter(
        AlertState(state) if state else None,
        _one_of(query.get("severity"), _SEVERITIES, "severity"),
        query.get("model"),
    )


def _one_of(value: str | None, allowed: Any, name: str) -> str | None:
    if value is not None and value not in allowed:
        raise _Refused(400, f"{name}={value} is unknown: use {', '.join(allowed)}")
    return value


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(_LIMIT_DEFAULT))
    if not text.isdecimal() or not 1 <= int(text) <= LIMIT_MAX:
        raise _Refused(400, f"limit={text} is no number from 1 to {LIMIT_MAX}")
    return int(text)


async def _reason(request: web.Request) -> str:
    body = await request.read()
    try:
        found = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise _Refused(400, f"the body is no JSON ({error})") from error
    reason = found.get("reason", "") if isinstance(found, dict) else None
    if not isinstance(reason, str) or len(reason) > _REASON_MAX:
        raise _Refused(400, f'the body is not {{"reason": "..."}} with at most {_REASON_MAX} characters')
    return reason.strip()


def _json(status: int, body: View) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=headers)
