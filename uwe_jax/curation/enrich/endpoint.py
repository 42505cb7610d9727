"""A server that speaks OpenAI's chat completions, asked by its official client; again where that helps."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from uwe_jax.curation.enrich.libraries import library
from uwe_jax.curation.enrich.prompts import Prompt
from uwe_jax.curation.enrich.settings import EndpointSettings
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.network import in_one_line, within

LOG = logging.getLogger(__name__)

# Seconds in which a server has to show that it is there.
_THERE = 10.0
_AGAIN = {408, 409, 425, 429}  # and 5xx
# Causes by which a request did not reach the server.
_NEVER_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "LocalProtocolError", "UnsupportedProtocol"}
_REFUSED = {401: "does not take the key", 403: "does not allow it", 404: "does not know the address or the model"}


class RequestFailed(Exception):
    """A request got no answer, and further tries do not help now; in one phrase."""


@dataclass(frozen=True)
class Completion:
    """What the server answered; tokens are None where it did not count them."""

    text: str
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    seconds: float


class Endpoint:
    """Asks a server.

    Args:
      settings: where and how.
      stopping: whether the run is about to stop, so that nothing is tried again.

    Raises:
      UserError: the client is not installed, or the key is none.
    """

    def __init__(self, settings: EndpointSettings, stopping: Callable[[], bool] = lambda: False):
        self._openai = library("openai")
        self._tenacity = library("tenacity")
        self._settings = settings
        self._stopping = stopping
        self._key = _read_key(settings.api_key_variable)
        self._access: dict[str, Any] = {
            "base_url": settings.base_url,
            # The client wants one; a server without keys does not look at it.
            "api_key": self._key or "none",
            "max_retries": 0,
        }
        self._client: Any = None
        self.tries_again = 0

    def check_there(self) -> None:
        """Asks for the server's models, a question that costs nothing.

        Raises:
          UserError: nobody answers there, or the key is refused.
        """

        def models() -> list[str]:
            with self._openai.OpenAI(**self._access, timeout=_THERE) as client:
                return [model.id for model in client.models.list()]

        try:
            known = within(_THERE, models)
        except (self._openai.APIConnectionError, TimeoutError) as error:
            raise UserError(
                f"Nothing answers at endpoint.base_url {self._settings.base_url} ({self._reason(error)}). Start the "
                "server (vLLM: vllm serve MODEL; Ollama: ollama serve), or mend the address, which usually ends in "
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

    async def complete(
        self,
        prompt: Prompt,
        before: Callable[[], None] = lambda: None,
        lost: Callable[[str], None] = lambda reason: None,
    ) -> Completion:
        """Asks one prompt, again where the server is busy, broken or slow.

        Args:
          prompt: that is asked.
          before: called before every try; what it raises ends the tries.
          lost: called with the reason after a try that came to nothing although the server may have done the work.

        Raises:
          RequestFailed: this request got no answer.
          UserError: no request will get one, such as with a wrong key.
        """
        retrying = self._tenacity.AsyncRetrying(
            stop=self._tenacity.stop_any(
                self._tenacity.stop_after_attempt(self._settings.retries + 1), lambda _: self._stopping()
            ),
            wait=self._wait,
            retry=self._tenacity.retry_if_exception(self._helps_to_try_again),
            before_sleep=self._count,
            reraise=True,
        )
        try:
            return await retrying(self._try, prompt, before, lost)
        except self._openai.APIStatusError as error:
            if error.status_code in _REFUSED or self._asks_for_too_long(error):
                raise self._refusal(error) from error
            raise RequestFailed(f"HTTP {error.status_code}: {self._reason(error)}") from error
        except (self._openai.OpenAIError, ValueError) as error:
            raise RequestFailed(self._reason(error)) from error

    async def _try(self, prompt: Prompt, before: Callable[[], None], lost: Callable[[str], None]) -> Completion:
        before()
        try:
            return await self._ask(prompt)
        except (self._openai.OpenAIError, ValueError) as error:
            if self._may_be_billed(error):
                lost(self._reason(error))
            raise

    async def _ask(self, prompt: Prompt) -> Completion:
        settings = self._settings
        optional: dict[str, Any] = {}
        if settings.temperature >= 0:
            optional["temperature"] = settings.temperature
        if settings.max_tokens:
            optional["max_tokens"] = settings.max_tokens
        if settings.json_object:
            optional["response_format"] = {"type": "json_object"}
        started = time.perf_counter()
        reply = await self._client.chat.completions.create(
            model=settings.model,
            messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            extra_body=settings.extra_fields(),
            **optional,
        )
        try:
            choice, usage = reply.choices[0], reply.usage
            text, finish = choice.message.content or "", choice.finish_reason or ""
        except (AttributeError, IndexError, TypeError) as error:
            raise ValueError("the server's reply is no chat completion") from error
        asked, answered = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        return Completion(text, finish, asked, answered, time.perf_counter() - started)

    def _helps_to_try_again(self, error: BaseException) -> bool:
        if isinstance(error, self._openai.APIStatusError):
            if self._asks_for_too_long(error):
                return False
            return error.status_code in _AGAIN or error.status_code >= 500
        # ValueError: a body that is no JSON, or JSON that is no completion, as a proxy in trouble sends it.
        return isinstance(error, (self._openai.APIConnectionError, self._openai.APIResponseValidationError, ValueError))

    def _may_be_billed(self, error: BaseException) -> bool:
        if isinstance(error, self._openai.APIStatusError):
            return False
        return type(error.__cause__).__name__ not in _NEVER_SENT

    def _wait(self, state: Any) -> float:
        first, longest = self._settings.first_wait, self._settings.longest_wait
        doubled = self._tenacity.wait_exponential(multiplier=first, max=longest)
        backoff = (doubled + self._tenacity.wait_random(0, first))(state)
        return max(_retry_after(state.outcome.exception()) or 0.0, backoff)  # it may ask for 0 seconds in a row

    def _count(self, _: object) -> None:
        self.tries_again += 1

    def _asks_for_too_long(self, error: Any) -> bool:
        return (_retry_after(error) or 0.0) > self._settings.longest_wait or error.code == "insufficient_quota"

    def _reason(self, error: BaseException) -> str:
        """What went wrong, the cause included: the client alone says "Connection error."."""
        cause = f": {type(error.__cause__).__name__} {error.__cause__}".rstrip() if error.__cause__ else ""
        text = f"{error}{cause}"
        # A server may quote the key it was given, and so may the client.
        return in_one_line(Exception(text.replace(self._key, "KEY") if self._key else text))

    def _refusal(self, error: Any) -> UserError:
        status, base_url = error.status_code, self._settings.base_url
        if status not in _REFUSED:
            wait = _retry_after(error)
            what = "says that the quota is spent" if wait is None else f"asks to wait {wait:,.0f} seconds"
            step = "Run the same command again later: nothing that was answered is asked again."
        else:
            what = _REFUSED[status]
            variable = self._settings.api_key_variable
            state = "is set" if self._key else "is not set"
            step = (
                f"Check endpoint.model ({self._settings.model}) and endpoint.base_url."
                if status == 404
                else f"The key is taken from the environment variable {variable}, which {state} "
                "(endpoint.api_key_variable)."
            )
        return UserError(f"{base_url} {what} (HTTP {status}: {self._reason(error)}). {step}")


def _read_key(variable: str) -> str:
    # A file that a key is read from mostly ends with a line break.
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UserError(
            f"The environment variable {variable} holds {len(key):,} characters that are no key: line breaks or other "
            "characters than ASCII are among them. Set it to the key alone (endpoint.api_key_variable)."
        )
    return key


def _retry_after(error: Any) -> float | None:
    """Seconds that the server asks to wait, by retry-after-ms or Retry-After (seconds or a date); None without."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, TypeError, ValueError):
        return None
