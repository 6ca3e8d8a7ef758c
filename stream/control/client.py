"""A client of the operators' API, for the command line and for scripts."""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx2

from stream.errors import ConfigError, RetriableError, StreamError

# The owner of an alert answers within 10 s or says that it could not; another instance in between adds a little.
_ANSWER_LIMIT_S = 20.0


class UnknownAlert(StreamError):
    """There is no alert of this id; the text names the nearest ones."""


class ActionRefused(StreamError):
    """The alert's state does not allow the action; the text says who was first."""


class ControlClient:
    """Calls one control plane with one operator's token. Use it as a context.

    Every method raises RetriableError if the control plane does not answer or is not ready, ConfigError if the token
    or a filter is wrong, UnknownAlert and ActionRefused as they say.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx2.Client(headers={"Authorization": f"Bearer {token}"}, timeout=_ANSWER_LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def list(self, filters: Mapping[str, str], limit: int, after: str | None) -> dict[str, Any]:
        """One page of alerts, newest first: `alerts`, `total`, and `next`, which is the `after` of the next page."""
        query = {**filters, "limit": str(limit), **({"after": after} if after else {})}
        return self._call("GET", "/v1/alerts", query, None)

    def show(self, alert_id: str) -> dict[str, Any]:
        """One alert with its history."""
        return self._call("GET", f"/v1/alerts/{quote(alert_id, safe='')}", {}, None)

    def acknowledge(self, alert_id: str, reason: str) -> dict[str, Any]:
        """Say that someone looks at it; the alert as it is then."""
        return self._call("POST", f"/v1/alerts/{quote(alert_id, safe='')}/acknowledge", {}, {"reason": reason})

    def resolve(self, alert_id: str, reason: str) -> dict[str, Any]:
        """Say that it is over, and why; the alert as it is then."""
        return self._call("POST", f"/v1/alerts/{quote(alert_id, safe='')}/resolve", {}, {"reason": reason})

    def _call(self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, str] | None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, f"{self._url}{path}", params=dict(query), json=body)
            found = answer.json()
        except httpx2.InvalidURL as error:
            raise ConfigError(f"{self._url} is no address of a control plane ({error})") from error
        except (httpx2.HTTPError, ValueError) as error:
            raise RetriableError(_no_answer(self._url, error)) from error
        if answer.status_code == 200 and isinstance(found, dict):
            return found
        raise self._error(answer.status_code, found if isinstance(found, dict) else {})

    def _error(self, status: int, found: Mapping[str, Any]) -> StreamError:
        sentence = str(found.get("error", f"it answered with status {status}"))
        if status == 401:
            return ConfigError(
                f"the control plane at {self._url} does not know this token: give one that stands in its tokens file "
                f"(STREAM_CONTROL_TOKEN or --token)"
            )
        if status == 404:
            near = "; did you mean " + " or ".join(found["nearest"]) if found.get("nearest") else ""
            return UnknownAlert(f"{sentence}{near}")
        if status == 409:
            return ActionRefused(sentence)
        if status == 400:
            return ConfigError(sentence)
        return RetriableError(f"the control plane at {self._url}: {sentence}")


def _no_answer(url: str, error: Exception) -> str:
    if isinstance(error, httpx2.ConnectError):
        return (
            f"no control plane answers at {url}: start it with `stream control APP`, "
            f"or say where it is (STREAM_CONTROL_URL or --url)"
        )
    if isinstance(error, httpx2.TimeoutException):
        return f"the control plane at {url} did not answer within {_ANSWER_LIMIT_S:g} s: look at its log"
    return f"what answers at {url} is no control plane ({type(error).__name__}): check STREAM_CONTROL_URL or --url"
