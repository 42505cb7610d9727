"""Client of a server with OpenAI's chat completions."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from uwe_jax.curation.enrich.prompts import Prompt
from uwe_jax.curation.enrich.settings import EndpointSettings, library
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line, within

LOG = logging.getLogger(__name__)

_THERE = 10.0  # seconds in which a server must list its models
_AGAIN = {408, 409, 425, 429}  # and 5xx
# Causes of errors of requests that did not reach the server.
_NEVER_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "LocalProtocolError", "UnsupportedProtocol"}
_REFUSED = {401: "does not take the key", 403: "does not allow it", 404: "does not know the address or the model"}


class RequestFailed(Exception):
    """A try of a request got no answer; says why in one phrase."""

    def __init__(self, reason: str, *, again: bool = True, wait: float = 0.0, billed: bool = False):
        super().__init__(reason)
        self.again = again  # another try may help
        self.wait = wait  # seconds before it, as the server asks
        self.billed = billed  # the server may have done the work


@dataclass(frozen=True)
class Completion:
    """Answer of the server; tokens are None where it did not count them. By default that of a try without one."""

    text: str = ""
    finish: str = "lost"
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0


class Endpoint:
    """Sends prompts to a server. Raises UserError: the client is not installed, or the key is invalid."""

    def __init__(self, settings: EndpointSettings):
        self._openai = library("openai")
        self._settings = settings
        self._key = _read_key(settings.api_key_variable)
        # The client requires a key; a server without keys ignores it.
        self._access = {"base_url": settings.base_url, "api_key": self._key or "none", "max_retries": 0}
        self._client: Any = None

    def check_there(self) -> None:
        """Requests the server's models, which costs nothing; raises UserError without a server, or on a refused key."""

        def models() -> list[str]:
            with self._openai.OpenAI(**self._access, timeout=_THERE) as client:
                return [model.id for model in client.models.list()]

        try:
            known = within(_THERE, models)
        except (self._openai.APIConnectionError, TimeoutError) as error:
            raise UserError(
                f"No server responds at endpoint.base_url {self._settings.base_url} ({self._reason(error)}). Start the "
                "server (vLLM: vllm serve MODEL; Ollama: ollama serve), or fix the address, which usually ends in "
                "/v1; --config.generator=template works without one."
            ) from error
        except self._openai.APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._refusal(error) from error
            return  # a server without a list of models
        except (self._openai.OpenAIError, ValueError, TypeError, AttributeError):
            return  # a list in another form
        if known and self._settings.model not in known:
            shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            LOG.warning(
                f"The server does not list {self._settings.model!r} among its models ({shown}); it is asked anyway."
            )

    async def __aenter__(self) -> Endpoint:
        self._client = self._openai.AsyncOpenAI(**self._access, timeout=self._settings.timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def send(self, prompt: Prompt) -> Completion:
        """Sends one prompt, once.

        Raises:
          RequestFailed: this try got no answer.
          UserError: no request will get one, such as with a wrong key.
        """
        settings = self._settings
        started = time.perf_counter()
        try:
            reply = await self._client.chat.completions.create(
                model=settings.model,
                messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
                extra_body=settings.extra_fields(),
                temperature=settings.temperature if settings.temperature >= 0 else self._openai.omit,
                max_tokens=settings.max_tokens or self._openai.omit,
                response_format={"type": "json_object"} if settings.json_object else self._openai.omit,
            )
        except self._openai.APIStatusError as error:
            status, wait = error.status_code, _retry_after(error) or 0.0
            if status in _REFUSED or wait > settings.longest_wait or error.code == "insufficient_quota":
                raise self._refusal(error) from error
            again = status in _AGAIN or status >= 500
            raise RequestFailed(f"HTTP {status}: {self._reason(error)}", again=again, wait=wait) from error
        except (self._openai.OpenAIError, ValueError) as error:  # ValueError: not JSON, as from a failing proxy
            sent = type(error.__cause__).__name__ not in _NEVER_SENT
            raise RequestFailed(self._reason(error), billed=sent) from error
        try:
            choice, usage = reply.choices[0], reply.usage
            text, finish = choice.message.content or "", choice.finish_reason or ""
        except (AttributeError, IndexError, TypeError) as error:
            raise RequestFailed("the server's reply is not a chat completion", billed=True) from error
        asked, answered = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        return Completion(text, finish, asked, answered, time.perf_counter() - started)

    def _reason(self, error: BaseException) -> str:
        """Describes an error with its cause: the client itself says "Connection error." only."""
        cause = f": {type(error.__cause__).__name__} {error.__cause__}".rstrip() if error.__cause__ else ""
        text = f"{error}{cause}"
        # The server or the client may quote the key.
        return in_one_line(Exception(text.replace(self._key, "KEY") if self._key else text))

    def _refusal(self, error: Any) -> UserError:
        status, variable = error.status_code, self._settings.api_key_variable
        if status not in _REFUSED:
            wait = _retry_after(error)
            what = "reports that the quota is spent" if wait is None else f"asks to wait {wait:,.0f} seconds"
            step = "Re-run the same command later to resume; answered requests are not sent again."
        else:
            what = _REFUSED[status]
            state = "is set" if self._key else "is not set"
            step = f"The key is read from environment variable {variable}, which {state} (endpoint.api_key_variable)."
            if status == 404:
                step = f"Check endpoint.model ({self._settings.model}) and endpoint.base_url."
        return UserError(f"{self._settings.base_url} {what} (HTTP {status}: {self._reason(error)}). {step}")


def _read_key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()  # keys read from files end in a line break
    if not (key.isascii() and key.isprintable()):
        raise UserError(
            f"The environment variable {variable} is not a valid key: its {len(key):,} characters include line breaks "
            "or characters other than ASCII. Set it to the key only (endpoint.api_key_variable)."
        )
    return key


def _retry_after(error: Any) -> float | None:
    """Reads seconds to wait from retry-after-ms or Retry-After (seconds or a date); None without."""
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, TypeError, ValueError):
        return None
