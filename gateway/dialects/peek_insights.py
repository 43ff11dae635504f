"""Insights in the words of the peek dialect."""

from __future__ import annotations

from datetime import UTC

from sightmill.v1 import analyzer_pb2, catalog_pb2, common_pb2

_BLUR = {
    analyzer_pb2.BLUR_LEVEL_LOW: "low",
    analyzer_pb2.BLUR_LEVEL_MEDIUM: "medium",
    analyzer_pb2.BLUR_LEVEL_HIGH: "high",
}
_SCENES = {
    analyzer_pb2.SCENE_TYPE_INDOOR: "indoor",
    analyzer_pb2.SCENE_TYPE_OUTDOOR: "outdoor",
    analyzer_pb2.SCENE_TYPE_NATURE: "nature",
}


def insights_body(image: catalog_pb2.Image) -> dict[str, object]:
    """All keys of the contract, always; a detector that did not run counts as one that found nothing."""
    found = image.insights
    light, scene, text = found.luminance, found.scene, found.text
    return {
        "id": image.number,
        "image_id": image.number,
        "created_at": image.process_time.ToDatetime(UTC).isoformat(),
        "dominant_colors": [dominant.color.hex for dominant in found.dominant_colors],
        "brightness": light.brightness,
        "faces_detected": len(found.faces.faces),
        "face_locations": [_location(face.box) for face in found.faces.faces],
        "text_found": text.word_count > 0,
        "extracted_text": text.text,
        "word_count": text.word_count,
        "sharpness_score": round(light.sharpness, 2),
        "blur_level": _BLUR.get(light.blur_level, "high"),
        "contrast_score": round(light.contrast, 2),
        "quality_score": round(light.quality_score, 2),
        "scene_type": _SCENES.get(scene.type, "indoor"),
        "scene_confidence": round(scene.confidence, 2),
    }


def _location(box: common_pb2.BoundingBox) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
