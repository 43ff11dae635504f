"""The chain as the settings describe it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from services.captioner.blip_provider import BlipProvider
from services.captioner.chain import Chain
from services.captioner.compatible_provider import compatible_provider
from services.captioner.http_client import HttpClient
from services.captioner.link import Link
from services.captioner.mistral_provider import mistral_provider
from services.captioner.openai_provider import openai_provider
from services.captioner.provider import Provider
from services.captioner.settings import CaptionerSettings, ProviderId, chosen_key

HINTS: dict[str, str] = {
    "mistral": "Not configured: set MISTRAL_API_KEY.",
    "openai": "Not configured: set OPENAI_API_KEY.",
    "compatible": (
        "Not configured: set SIGHTMILL_CAPTIONER_COMPATIBLE_URL and SIGHTMILL_CAPTIONER_COMPATIBLE_MODEL."
    ),
    "blip": "Not configured: set BLIP_SERVICE_URL.",
}
_LOCAL_SERVERS = ("compatible", "blip")


def build_chain(settings: CaptionerSettings, http: HttpClient, registry: CollectorRegistry) -> Chain:
    """Every provider of the operator's chain that has a key or an address, in order."""
    outcomes = Counter(
        "sightmill_caption_calls",
        "Calls to providers, by outcome",
        ["provider", "outcome"],
        registry=registry,
    )
    links: dict[str, Link] = {}
    for name in settings.captioner_providers:
        provider = _BUILDERS[name](settings, http) if name in _BUILDERS else None
        if provider:
            links[name] = Link(provider, concurrency(settings, name), outcomes)
    return Chain(tuple(dict.fromkeys(settings.captioner_providers)), links, HINTS)


def calls_in_flight(settings: CaptionerSettings) -> int:
    """Calls in flight to all providers together."""
    return sum(concurrency(settings, provider) for provider in set(settings.captioner_providers))


def concurrency(settings: CaptionerSettings, provider: ProviderId) -> int:
    """Calls in flight to one provider."""
    if provider in _LOCAL_SERVERS:
        return settings.captioner_local_concurrency
    return settings.captioner_concurrency


def _mistral(settings: CaptionerSettings, http: HttpClient) -> Provider | None:
    key = chosen_key(settings.captioner_mistral_api_key, settings.captioner_mistral_api_key_file)
    url, model = settings.captioner_mistral_url, settings.captioner_mistral_model
    return mistral_provider(http, url, key, model) if key else None


def _openai(settings: CaptionerSettings, http: HttpClient) -> Provider | None:
    key = chosen_key(settings.captioner_openai_api_key, settings.captioner_openai_api_key_file)
    url, model = settings.captioner_openai_url, settings.captioner_openai_model
    return openai_provider(http, url, key, model) if key else None


def _compatible(settings: CaptionerSettings, http: HttpClient) -> Provider | None:
    url, model = settings.captioner_compatible_url, settings.captioner_compatible_model
    key = chosen_key(settings.captioner_compatible_api_key, settings.captioner_compatible_api_key_file)
    return compatible_provider(http, url, key, model) if url and model else None


def _blip(settings: CaptionerSettings, http: HttpClient) -> Provider | None:
    url = settings.captioner_blip_url
    return BlipProvider(http, url) if url else None


_BUILDERS: dict[ProviderId, Callable[[CaptionerSettings, HttpClient], Provider | None]] = {
    "mistral": _mistral,
    "openai": _openai,
    "compatible": _compatible,
    "blip": _blip,
}
