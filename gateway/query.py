"""Query strings as request messages, by the rules of the edge's transcoder."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from starlette.datastructures import QueryParams

from services.runtime.errors import InvalidArgumentError, Reason

M = TypeVar("M", bound=Message)


def parse_query(message: M, params: QueryParams) -> M:
    """Fills ``message``: dotted paths reach into messages, repeated keys into lists.

    Raises InvalidArgumentError (INVALID_FIELD) for an unknown name and for a value that does not fit.
    """
    tree: dict[str, Any] = {}
    for name, value in params.multi_items():
        _put(tree, message.DESCRIPTOR, name, value)
    try:
        return json_format.ParseDict(tree, message)
    except json_format.ParseError as fault:
        raise InvalidArgumentError(Reason.INVALID_FIELD, f"{str(fault)[:300]}") from None


def _put(tree: dict[str, Any], kind: Any, name: str, value: str) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        field = _field(kind, parent, name)
        if field.message_type is None or field.is_repeated:
            raise _unknown(name)
        tree, kind = tree.setdefault(field.name, {}), field.message_type
    field = _field(kind, last, name)
    fitting: Any = _boolean(name, value) if field.type == FieldDescriptor.TYPE_BOOL else value
    if field.is_repeated:
        tree.setdefault(field.name, []).append(fitting)
    else:
        tree[field.name] = fitting


def _field(kind: Any, word: str, name: str) -> FieldDescriptor:
    field: FieldDescriptor | None = kind.fields_by_name.get(word) or kind.fields_by_camelcase_name.get(word)
    if field is None or field.name == "name":  # the path says which
        raise _unknown(name)
    return field


def _boolean(name: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise InvalidArgumentError(Reason.INVALID_FIELD, f"{name} is true or false.", field=name)
    return value == "true"


def _unknown(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_FIELD, f"Unknown query parameter {name[:100]!r}.", field=name)
