"""Which folders are taken for a BLIP model; nothing is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.captioner.blip.blip_local_folder import BlipModelError, inspect_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "blip"}))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("about")
    return tmp_path


def test_the_model_is_named_by_its_type_and_what_is_in_it(folder: Path) -> None:
    before = inspect_folder(folder)
    assert before.model_type == "blip"
    assert before.model.startswith("blip:")
    assert len(before.model) == len("blip:") + 8

    (folder / "README.md").write_text("other words")
    assert inspect_folder(folder).model == before.model

    (folder / "model.safetensors").write_bytes(b"Weights")
    assert inspect_folder(folder).model != before.model


def test_vocabulary_is_part_of_the_model(folder: Path) -> None:
    before = inspect_folder(folder)
    (folder / "vocab.txt").write_text("cat\ndog\n")
    assert inspect_folder(folder).model != before.model


def test_a_name_that_the_model_carries_is_kept_without_its_owner_and_strange_characters(folder: Path) -> None:
    config = {"model_type": "blip-2", "_name_or_path": "some owner/blip2 opt/"}
    (folder / "config.json").write_text(json.dumps(config))
    assert inspect_folder(folder).model.startswith("blip2-opt:")


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights_are_refused_by_name(folder: Path, weights: str) -> None:
    (folder / "model.safetensors").rename(folder / weights)
    with pytest.raises(BlipModelError, match=rf"{weights} is not read.*safetensors"):
        inspect_folder(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BlipModelError, match="SIGHTMILL_CAPTIONER_BLIP_MODEL"):
        inspect_folder(folder)


@pytest.mark.parametrize("config", [None, b"", b"{", b"[1]", b"\xff\xfe", b'{"model_type": "llava"}', b"{}"])
def test_a_folder_without_a_readable_config_of_a_blip_is_refused(folder: Path, config: bytes | None) -> None:
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_bytes(config)
    with pytest.raises(BlipModelError, match="SIGHTMILL_CAPTIONER_BLIP_MODEL"):
        inspect_folder(folder)
