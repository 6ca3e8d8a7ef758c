"""The other instances of the control plane: which there are, and how a request reaches the one that owns an alert."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from stream.control.ledger import Ledger
from stream.control.views import View
from stream.errors import RetriableError

# Marks a request from another instance: it is answered from this instance's partitions alone, so that it ends here.
LOCAL_HEADER = "X-Stream-Local"
_ANSWER_LIMIT_S = 15.0  # longer than the owner's own limit, so that its sentence arrives and not this one's


class Peers:
    """Instances by the URLs that Faust's assignor spreads among the members of the group."""

    def __init__(self, ledger: Ledger, own_url: str) -> None:
        self._ledger = ledger
        self._own_url = own_url
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make ready to call others."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_LIMIT_S))

    async def stop(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def ask_all(self, path: str, query: Mapping[str, str], authorization: str) -> list[View]:
        """GET `path` from every other instance; raises RetriableError if one does not answer."""
        calls = [self._call("GET", url, path, query, authorization, None) for url in self._others()]
        return [body for _, body in await asyncio.gather(*calls)]

    async def send_to_owner(
        self, method: str, path: str, authorization: str, body: View | None
    ) -> tuple[int, View] | None:
        """Status and body of the one instance that knows the alert; None if none does."""
        for url in self._others():
            status, answer = await self._call(method, url, path, {}, authorization, body)
            if status != 404:
                return status, answer
        return None

    def _others(self) -> list[str]:
        known = (str(url).rstrip("/") for url in self._ledger.app.router.tables_metadata())
        return sorted(url for url in known if url != self._own_url)

    async def _call(
        self, method: str, url: str, path: str, query: Mapping[str, str], authorization: str, body: View | None
    ) -> tuple[int, View]:
        if self._session is None:
            raise RetriableError("this instance is starting: try again")
        headers = {"Authorization": authorization, LOCAL_HEADER: "1"}
        try:
            async with self._session.request(
                method, f"{url}{path}", params=query, headers=headers, json=body
            ) as answer:
                found: Any = await answer.json()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RetriableError(
                f"the instance at {url} does not answer ({type(error).__name__}), and some alerts are there: "
                f"try again in 10 s, when others have taken over its partitions"
            ) from error
        if status in (401, 503):
            raise RetriableError(f"the instance at {url} refused: {found.get('error', status)}")
        return status, found
