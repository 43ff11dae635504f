"""A real BLIP model with random weights, in this process, without any network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.captioner.blip.blip_local_folder import BlipModelError
from services.captioner.blip.blip_local_model import (
    BlipLocalModel,
    Pixels,
    StepAbandonedError,
    Wording,
    load_blip,
)
from services.captioner.blip.blip_local_provider import MAX_CAPTION_TOKENS, open_blip_local
from services.captioner.picture import Upload
from services.captioner.provider import Access, Ask, BadPictureError, ParseMode, Provider, TransientError
from tests.servers.providers.tiny_blip import noise_photo, save_tiny_blip, save_tiny_blip2

WORDING = Wording("", 16)
ASK = Ask(max_output_tokens=16)
PHOTOS = [noise_photo(seed) for seed in range(8)]
_WITHOUT = """
import sys
from pathlib import Path
sys.modules["{module}"] = None
from services.captioner.blip.blip_local_model import load_blip
load_blip(Path(sys.argv[1]), "cpu", 1)
"""


@pytest.fixture(scope="session", autouse=True)
def _libraries() -> None:
    missing = [name for name in ("torch", "transformers", "safetensors") if find_spec(name) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must not leave these tests out: {missing} not installed; scripts/setup blip")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: scripts/setup blip")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("a local model must not ask the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blip")
    save_tiny_blip(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> BlipLocalModel:
    return load_blip(folder, "cpu", threads=1)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each step of a model had."""
    counts: list[int] = []
    whole = BlipLocalModel.caption

    def counted(
        self: BlipLocalModel, pictures: Sequence[Pixels], wording: Wording, is_over: Callable[[], bool] = bool
    ) -> list[str]:
        counts.append(len(pictures))
        return whole(self, pictures, wording, is_over)

    monkeypatch.setattr(BlipLocalModel, "caption", counted)
    return counts


async def describe(provider: Provider, jpeg: bytes, ask: Ask = ASK) -> str:
    return (await provider.describe(Upload(jpeg, 0, 0), ask, Access())).description.text


def singles(model: BlipLocalModel, photos: Sequence[bytes] = PHOTOS) -> list[str]:
    return [model.caption([model.pixels(photo)], WORDING)[0] for photo in photos]


async def test_a_batch_says_of_every_picture_what_it_would_say_of_it_alone(
    folder: Path, model: BlipLocalModel, steps: list[int]
) -> None:
    alone = singles(model)
    steps.clear()
    async with open_blip_local(folder, "auto", max_batch=4, threads=1) as provider:
        together = await asyncio.gather(*(describe(provider, photo) for photo in PHOTOS * 4))

    assert len(set(alone)) == len(PHOTOS)
    assert together == alone * 4
    assert sum(steps) == 32
    assert len(steps) <= 16
    assert max(steps) == 4


async def test_an_answer_is_plain_english_of_a_model_with_a_lasting_name(folder: Path) -> None:
    async with open_blip_local(folder, "cpu", max_batch=2, threads=1) as provider:
        answer = await provider.describe(Upload(PHOTOS[0], 96, 160), Ask(language="de"), Access())
        first_model = provider.model
    async with open_blip_local(folder, "cpu", max_batch=2, threads=1) as again:
        assert again.model == first_model == answer.description.model

    said = answer.description
    assert (said.language, said.parse_mode, said.tags, said.objects) == ("en", ParseMode.PROSE, (), ())
    assert said.text
    assert provider.id == "blip-local"
    assert provider.expected_tokens(Upload(b"", 1, 1), ASK).total == 0


async def test_a_prompt_is_how_the_caption_begins(folder: Path) -> None:
    prompts = ["a photo of", "two red", ""]
    async with open_blip_local(folder, "cpu", max_batch=8, threads=1) as provider:
        said = await asyncio.gather(
            *(describe(provider, PHOTOS[0], Ask(prompt=prompt, max_output_tokens=16)) for prompt in prompts)
        )
        endless = await describe(provider, PHOTOS[0], Ask(prompt="red bird3 " * 1_000, max_output_tokens=5))

    assert said[0].startswith("a photo of ")
    assert said[1].startswith("two red ")
    assert not said[2].startswith(("a photo of", "two"))
    assert len(endless.split()) <= 64 + 5


async def test_captions_are_never_longer_than_the_bound(folder: Path) -> None:
    async with open_blip_local(folder, "cpu", max_batch=8, threads=1) as provider:
        long = [await describe(provider, photo, Ask(max_output_tokens=4_000)) for photo in PHOTOS]
        short = await describe(provider, PHOTOS[0], Ask(max_output_tokens=1))

    assert 16 < max(len(text.split()) for text in long) <= MAX_CAPTION_TOKENS
    assert len(short.split()) == 1


async def test_a_damaged_picture_fails_alone(folder: Path, model: BlipLocalModel) -> None:
    damaged = [b"", b"no picture", PHOTOS[1][:-400]]
    async with open_blip_local(folder, "cpu", max_batch=8, threads=1) as provider:
        outcomes = await asyncio.gather(
            *(describe(provider, photo) for photo in (*damaged, *PHOTOS[:4])), return_exceptions=True
        )

    assert all(isinstance(outcome, BadPictureError) for outcome in outcomes[:3])
    assert outcomes[3:] == singles(model, PHOTOS[:4])


def test_a_step_ends_between_two_layers_when_nobody_waits(model: BlipLocalModel) -> None:
    looks = 0

    def after_some_layers() -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    pixels = model.pixels(PHOTOS[0])
    with pytest.raises(StepAbandonedError):
        model.caption([pixels], WORDING, after_some_layers)

    assert looks == 4
    assert model.caption([pixels], WORDING) == singles(model, PHOTOS[:1])


def test_memory_that_is_not_there_is_told_apart(
    model: BlipLocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = import_module("torch")
    monkeypatch.setattr(model._parts.model, "generate", lambda **_: torch.empty(2**50))
    with pytest.raises(MemoryError):
        model.caption([model.pixels(PHOTOS[0])], WORDING)


async def test_stopping_while_busy_answers_everybody_and_leaves_no_thread(folder: Path) -> None:
    async with open_blip_local(folder, "cpu", max_batch=2, threads=1) as provider:
        calls = [
            asyncio.create_task(describe(provider, photo, Ask(max_output_tokens=64))) for photo in PHOTOS * 20
        ]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for thread in threading.enumerate():
        if thread.name.startswith("blip"):
            thread.join(timeout=5)

    assert not any(thread.name.startswith("blip") for thread in threading.enumerate())
    assert any(isinstance(outcome, TransientError) for outcome in outcomes)
    assert all(isinstance(outcome, str | TransientError) for outcome in outcomes)


def test_pictures_reach_the_model_as_the_library_itself_prepares_them(model: BlipLocalModel) -> None:
    photo = noise_photo(3)
    with Image.open(BytesIO(photo)) as image:
        image.draft("RGB", (64, 64))
        theirs = model._parts.processor(images=image.convert("RGB"), return_tensors="np")["pixel_values"][0]
    ours = model._normalised([model.pixels(photo)])[0].numpy()

    assert ours.shape == (3, 64, 64)
    assert np.abs(ours - theirs).max() < 1e-5


async def test_blip_2_describes_in_batches_too(tmp_path: Path) -> None:
    save_tiny_blip2(tmp_path)
    async with open_blip_local(tmp_path, "cpu", max_batch=8, threads=1) as provider:
        alone = [await describe(provider, photo) for photo in PHOTOS]
        together = await asyncio.gather(*(describe(provider, photo) for photo in PHOTOS))

    assert together == alone
    assert len(set(alone)) > 5
    assert provider.model.startswith("blip-2:")
    assert not any(mark in "".join(alone) for mark in ("<image>", "<bos>", "<pad>"))


@pytest.mark.parametrize("file", ["tokenizer.json", "processor_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_does_not_open(copied: Path, file: str) -> None:
    (copied / file).unlink()
    with pytest.raises(BlipModelError):
        load_blip(copied, "cpu", 1)


@pytest.mark.parametrize("kept", [0, 7, 2_000, -1])
def test_weights_cut_short_do_not_open(copied: Path, kept: int) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(BlipModelError, match="cannot be loaded"):
        load_blip(copied, "cpu", 1)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_the_folder_is_never_run(copied: Path, file: str) -> None:
    (copied / "own.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    settings = json.loads((copied / file).read_text())
    own = dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer", "AutoImageProcessor"), "own.Own")
    (copied / file).write_text(json.dumps(settings | {"auto_map": own}))
    with contextlib.suppress(BlipModelError):
        load_blip(copied, "cpu", 1)

    assert not (copied / "ran").exists()


def test_weights_that_are_not_there_are_not_made_up(copied: Path) -> None:
    files = import_module("safetensors.numpy")
    tensors = files.load_file(copied / "model.safetensors")
    del tensors["vision_model.embeddings.class_embedding"]
    files.save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(BlipModelError, match=r"lacks 1 weights, vision_model\.embeddings\.class_embedding"):
        load_blip(copied, "cpu", 1)


def test_a_gpu_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(BlipModelError, match="SIGHTMILL_CAPTIONER_BLIP_DEVICE"):
        load_blip(folder, "cuda:17", 1)


@pytest.mark.parametrize("module", ["torch", "safetensors"])
def test_without_the_extra_the_way_out_is_named(folder: Path, module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(module=module), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "pip install 'sightmill[blip]'" in ran.stderr.splitlines()[-1]
