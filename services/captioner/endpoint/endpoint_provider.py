"""An external image endpoint: a form with text and image in, an analysis as JSON out."""

from __future__ import annotations

from typing import ClassVar

from services.captioner.answers.answer_status import classify
from services.captioner.endpoint.endpoint_answer import read_endpoint_answer
from services.captioner.http_client import CLOUD_READ_TIMEOUT_S, HttpClient, Part
from services.captioner.picture import Upload
from services.captioner.prompt import instruction
from services.captioner.provider import Access, Answer, Ask, Description, ProviderError, Tokens

# The protocol's own bound. Its first client also padded to a white square of this size; endpoints take any
# shape, so that is left out.
EDGE_PX = 512
USER_AGENT = "ImageAnalyzerEnterprise/1.0"


class EndpointProvider:
    """Always sends bytes, never the picture's URL; the address is used as it is."""

    id: ClassVar[str] = "endpoint"
    model: ClassVar[str] = "endpoint"

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def edge_px(self, ask: Ask) -> int:  # noqa: ARG002  the same for every ask
        """See the port."""
        return EDGE_PX

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:  # noqa: ARG002  nothing is counted
        """See the port."""
        return Tokens()

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:
        """One request. A prompt of the caller's goes out as it is: the endpoint may know it by heart."""
        headers = {"User-Agent": USER_AGENT}
        if access.key:
            headers["Authorization"] = f"Bearer {access.key}"
        fields = {"text": ask.prompt or instruction(ask)}
        part = Part("image", "resized.jpg", "image/jpeg", upload.jpeg)
        answer = await self._http.post_form(access.base_url, fields, [part], headers, CLOUD_READ_TIMEOUT_S)
        if answer.status != 200:
            raise classify(answer, self.model)
        try:
            read = read_endpoint_answer(answer.body)
        except ProviderError as error:
            error.may_be_billed = True
            raise
        return Answer(
            Description(
                read.text,
                read.tags,
                read.objects,
                ask.language,
                self.model,
                read.mode,
                attributes=read.attributes,
            )
        )
