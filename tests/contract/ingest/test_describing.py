"""What the captioner hears of an image."""

from __future__ import annotations

import grpc

from services.ingest.describing import Describing
from services.ingest.patience import Patience
from sightmill.v1 import analyzer_pb2, captioner_pb2, captioner_pb2_grpc, catalog_pb2
from tests.servers.scripted_servicers import Rooms


async def test_an_image_of_a_batch_is_described_as_part_of_it(rooms: Rooms) -> None:
    options = catalog_pb2.ProcessOptions(caption=captioner_pb2.CaptionOptions(language="de"))
    image = catalog_pb2.Image(blob_key="sha256/x", batch="batches/b7", process_options=options)
    async with grpc.aio.insecure_channel(rooms.captioner_room.address) as channel:
        stub: captioner_pb2_grpc.CaptionerServiceAsyncStub = captioner_pb2_grpc.CaptionerServiceStub(channel)
        describing = Describing(stub, Patience(), timeout_s=5)
        analysis = await describing.caption(catalog_pb2.StartedImage(image=image), analyzer_pb2.Insights())
        await describing.close()

    [asked] = rooms.captioner.asked
    # Work of batches yields to people, and the usage report counts by batch.
    assert asked.batch == "batches/b7"
    assert (asked.image.blob_key, asked.options.language) == ("sha256/x", "de")
    assert analysis.caption == rooms.captioner.caption()
