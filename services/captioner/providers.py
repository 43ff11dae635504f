"""The chain's links as the settings describe them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter

from services.captioner.blip.blip_provider import MAX_BATCH, BlipProvider
from services.captioner.blip.blip_shared_folder import SharedFolder
from services.captioner.chat.compatible_provider import compatible_provider
from services.captioner.chat.mistral_provider import mistral_provider
from services.captioner.chat.openai_provider import openai_provider
from services.captioner.chat.openai_responses_provider import openai_responses_provider
from services.captioner.endpoint.endpoint_provider import EndpointProvider
from services.captioner.http_client import HttpClient
from services.captioner.lanes.lane import Lane, RateLimit
from services.captioner.lanes.link import Link
from services.captioner.money.purse import Purse
from services.captioner.provider import Access, Provider
from services.captioner.settings import CaptionerSettings, ProviderId, chosen_keys, chosen_urls

HINTS: dict[str, str] = {
    "mistral": "Not configured: set MISTRAL_API_KEY.",
    "openai": "Not configured: set OPENAI_API_KEY.",
    "compatible": (
        "Not configured: set SIGHTMILL_CAPTIONER_COMPATIBLE_URL and SIGHTMILL_CAPTIONER_COMPATIBLE_MODEL."
    ),
    "endpoint": "Not configured: set API_ENDPOINT_URL.",
    "blip": "Not configured: set BLIP_SERVICE_URL.",
    "blip-local": "Not configured: set SIGHTMILL_CAPTIONER_BLIP_MODEL to the folder of a BLIP model.",
}
# Servers without published limits: how much they bear is found out.
_OWN_SERVERS = ("compatible", "endpoint", "blip")
# Steps of the model in this process that may wait behind the one that runs.
_STEPS_AHEAD = 2


class Providers:
    """What can be asked. ``blip_local`` is the model in this process, if there is one."""

    def __init__(
        self, settings: CaptionerSettings, http: HttpClient, blip_local: Provider | None = None
    ) -> None:
        self._settings = settings
        self._http = http
        self._blip_local = blip_local

    def links(self, purse: Purse, registry: CollectorRegistry) -> dict[str, Link]:
        """Every provider of the operator's chain that has a key, an address or a model, in order."""
        outcomes = Counter(
            "sightmill_caption_calls",
            "Calls to providers, by outcome",
            ["provider", "outcome"],
            registry=registry,
        )
        settings = self._settings
        links: dict[str, Link] = {}
        for name in dict.fromkeys(settings.captioner_providers):
            if found := accesses(settings, name):
                lanes = [self._lane(name, access) for access in found]
                links[name] = Link(
                    self._provider(name), lanes, purse, outcomes, settings.captioner_max_waiting
                )
        return links

    def _lane(self, name: ProviderId, access: Access) -> Lane:
        rate = self._settings.captioner_rates.get(name)
        limit = RateLimit(rate.requests, rate.tokens) if rate else RateLimit()
        return Lane(access, lane_concurrency(self._settings, name), limit, adapts=name in _OWN_SERVERS)

    def _provider(self, name: ProviderId) -> Provider:
        settings, http = self._settings, self._http
        builders: dict[ProviderId, Callable[[], Provider]] = {
            "mistral": lambda: mistral_provider(http, settings.captioner_mistral_model),
            "openai": self._openai,
            "compatible": lambda: compatible_provider(http, settings.captioner_compatible_model),
            "endpoint": lambda: EndpointProvider(http),
            "blip": self._blip,
            "blip-local": self._own_model,
        }
        return builders[name]()

    def _openai(self) -> Provider:
        model = self._settings.captioner_openai_model
        if self._settings.captioner_openai_api == "responses":
            return openai_responses_provider(self._http, model)
        is_openai = _is_openai(self._settings.captioner_openai_url)
        return openai_provider(self._http, model, is_openai=is_openai)

    def _blip(self) -> Provider:
        folder = self._settings.captioner_blip_shared_folder
        shared = SharedFolder(folder, self._settings.captioner_blip_shared_path) if folder else None
        return BlipProvider(self._http, self._settings.captioner_blip_call, shared)

    def _own_model(self) -> Provider:
        if self._blip_local is None:
            raise ValueError("the model in this process was not opened")
        return self._blip_local


def accesses(settings: CaptionerSettings, provider: ProviderId) -> tuple[Access, ...]:
    """The ways to a provider, one a lane; none when it is not configured."""
    if provider == "mistral":
        keys = chosen_keys(settings.captioner_mistral_api_key, settings.captioner_mistral_api_key_file)
        return tuple(Access(settings.captioner_mistral_url, key) for key in keys)
    if provider == "openai":
        keys = chosen_keys(settings.captioner_openai_api_key, settings.captioner_openai_api_key_file)
        return tuple(Access(settings.captioner_openai_url, key) for key in keys)
    if provider == "compatible":
        keys = chosen_keys(settings.captioner_compatible_api_key, settings.captioner_compatible_api_key_file)
        urls = chosen_urls(settings.captioner_compatible_url) if settings.captioner_compatible_model else ()
        return tuple(Access(url, key) for url in urls for key in keys or ("",))
    if provider == "blip-local":
        return (Access(),) if settings.captioner_blip_model else ()
    addresses = {"endpoint": settings.captioner_endpoint_url, "blip": settings.captioner_blip_url}
    return tuple(Access(url) for url in chosen_urls(addresses.get(provider, "")))


def lane_concurrency(settings: CaptionerSettings, provider: ProviderId) -> int:
    """Calls in flight with one key or address of a provider."""
    if provider == "blip-local":
        return settings.captioner_blip_batch * _STEPS_AHEAD
    if provider == "blip" and settings.captioner_blip_call != "single":
        # What is in flight together is sent together.
        return settings.captioner_local_concurrency * MAX_BATCH
    is_own = provider in _OWN_SERVERS
    return settings.captioner_local_concurrency if is_own else settings.captioner_concurrency


def calls_in_flight(settings: CaptionerSettings) -> int:
    """Calls in flight to all providers together, at most."""
    chain = dict.fromkeys(settings.captioner_providers)
    return sum(len(accesses(settings, name)) * lane_concurrency(settings, name) for name in chain) or 1


def _is_openai(url: str) -> bool:
    """Whether OPENAI_BASE_URL leads to OpenAI itself; many servers in its place speak an older dialect."""
    return (urlsplit(url).hostname or "").endswith("openai.com")
