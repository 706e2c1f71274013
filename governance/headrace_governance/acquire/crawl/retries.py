"""Retries of a request: as often as the policy says, with pauses that double, or for as long as the server asks."""

from __future__ import annotations

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from headrace_governance.acquire.crawl.fetch import FetchFailed
from headrace_governance.sources.fetch_policy import FetchPolicy


def retrying(policy: FetchPolicy) -> AsyncRetrying:
    """Attempts at a request. A failure that may pass (`FetchFailed.again`) is tried again; the last one, and any other, is raised.

    A server that asks for more than `max_retry_after_seconds` is not asked again.
    """

    return AsyncRetrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, FetchFailed) and exc.again),
        stop=lambda state: state.attempt_number > policy.retries or _asked_for(state) > policy.max_retry_after_seconds,
        wait=lambda state: max(_asked_for(state), pause_before(state.attempt_number, policy)),
        reraise=True,
    )


def pause_before(attempt: int, policy: FetchPolicy) -> float:
    """Seconds to wait after so many attempts, if the server asks for none."""
    return policy.retry_seconds * 2.0 ** (attempt - 1)


def _asked_for(state: RetryCallState) -> float:
    """Seconds that the server asked for in its last answer (Retry-After)."""
    failure = state.outcome.exception() if state.outcome is not None else None
    return failure.wait if isinstance(failure, FetchFailed) else 0.0
