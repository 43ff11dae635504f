"""What a caller hears when no provider answered."""

from __future__ import annotations

from collections.abc import Mapping

from services.captioner.provider import (
    BadPictureError,
    ConfigError,
    ExhaustedError,
    ProviderError,
    RefusedError,
)
from services.runtime.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)


def not_configured(provider: str, way_out: str) -> FailedPreconditionError:
    """The provider is unknown or lacks key or address."""
    return FailedPreconditionError(
        Reason.PROVIDER_NOT_CONFIGURED,
        f"Provider {provider!r} cannot be asked. {way_out}",
        provider=provider,
    )


def provider_failed(provider: str, error: ProviderError) -> ServiceError:
    """The error of a single provider."""
    message = f"{provider}: {error.message}"
    if isinstance(error, RefusedError):
        return FailedPreconditionError(Reason.PROVIDER_REFUSED, message, provider=provider)
    if isinstance(error, ConfigError):
        return FailedPreconditionError(Reason.PROVIDER_NOT_CONFIGURED, message, provider=provider)
    if isinstance(error, BadPictureError):
        return InvalidArgumentError(Reason.IMAGE_UNDECODABLE, message, provider=provider)
    if isinstance(error, ExhaustedError):
        return ResourceExhaustedError(Reason.BUDGET_EXHAUSTED, message, provider=provider)
    return UnavailableError(
        Reason.PROVIDER_UNAVAILABLE, message, retry_after_s=error.retry_after_s or 5.0, providers=provider
    )


def chain_failed(failures: Mapping[str, ProviderError], no_model: str) -> ServiceError:
    """The error of a whole chain: its only provider's, a refusal where all refused, else unavailable."""
    if not failures:
        return FailedPreconditionError(Reason.PROVIDER_NOT_CONFIGURED, no_model)
    errors = [provider_failed(provider, error) for provider, error in failures.items()]
    if len(errors) == 1:
        return errors[0]
    message = " ".join(error.message for error in errors)
    if all(error.reason == Reason.PROVIDER_REFUSED for error in errors):
        return FailedPreconditionError(Reason.PROVIDER_REFUSED, message)
    waits = [error.retry_after_s for error in errors if error.retry_after_s]
    return UnavailableError(
        Reason.PROVIDER_UNAVAILABLE,
        f"No provider of the chain could answer. {message}",
        retry_after_s=min(waits, default=5.0),
        providers=",".join(failures),
    )
