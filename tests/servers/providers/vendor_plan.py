"""What an account at a fake vendor may do, and what the vendor tells about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tests.servers.providers.vendor_call import Call, Reply
from tests.servers.providers.vendor_picture import Seen
from tests.servers.providers.vendor_window import Kind

KEY = "key-of-the-fake-account"


@dataclass(frozen=True, slots=True)
class Plan:
    """Limits are for a minute and key; None for no limit. ``latency_s`` is the time of one answer.

    ``slots`` is how many answers are worked on at once, None for any number; ``queue`` how many may wait.
    """

    requests: int | None = None
    tokens: int | None = None
    window: Kind = "sliding"
    tells_limits: bool = True
    tells_retry_after: bool = False
    latency_s: float = 0.0
    slots: int | None = None
    queue: int = 512
    keys: frozenset[str] = frozenset({KEY})


@dataclass(frozen=True, slots=True)
class Order:
    """A request that was understood. ``charge`` is what it counts against the limit of tokens."""

    model: str
    seen: Seen
    text: str
    is_cut: bool
    input_tokens: int
    output_tokens: int
    charge: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a minute is used after a request; ``cost`` is the request's own part, 0 when it was refused."""

    plan: Plan
    requests_used: int
    tokens_used: int
    cost: int
    free_in_s: float

    @property
    def requests_left(self) -> int:
        """Requests that are left; 0 without a limit."""
        return max(0, (self.plan.requests or 0) - self.requests_used)

    @property
    def tokens_left(self) -> int:
        """Tokens that are left; 0 without a limit."""
        return max(0, (self.plan.tokens or 0) - self.tokens_used)


class Vendor(Protocol):
    """How one vendor speaks. Errors are raised as Refused."""

    counts_refused: bool

    def read(self, call: Call, plan: Plan) -> Order:
        """Checks key and form, and makes up the words of the answer."""

    def answer(self, order: Order, number: int) -> dict[str, Any]:
        """The body of a 200."""

    def throttled(self, what: str, standing: Standing) -> Reply:
        """The 429 for "requests" or "tokens"."""

    def busy(self) -> Reply:
        """The reply when too many wait."""

    def limits(self, standing: Standing) -> dict[str, str]:
        """The headers that tell of the limits."""
