"""What can be said of a thing besides its title: a category defines it, the listings in it say it.

It stands beside the contexts, because one of them defines schemas and another one is held to them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

MOST_ATTRIBUTES: Final = 50
MOST_OPTIONS: Final = 200
LONGEST_TEXT: Final = 200
LARGEST_NUMBER: Final = 1e15
"""Up to here every whole number can be told from the next one by whoever reads JSON."""

_KEY: Final = re.compile(r"[a-z][A-Za-z0-9]{0,49}")

Faults = dict[str, list[str]]
"""What is wrong with which field, by the field's path."""


class AttributeType(StrEnum):
    """``enum`` is one of the options, ``multi`` any number of them."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    MULTI = "multi"


_CHOSEN: Final = frozenset({AttributeType.ENUM, AttributeType.MULTI})


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is its name in the attributes of a listing, ``label`` what people read, ``unit`` stands behind a number.

    ``filterable`` ones are offered to shoppers to narrow a list by.
    """

    key: str
    label: str
    type: AttributeType
    required: bool = False
    options: tuple[str, ...] = ()
    unit: str = ""
    filterable: bool = False
    min: float | None = None
    max: float | None = None


Schema = Sequence[Attribute]


def faults_of_schema(schema: Schema) -> Faults:
    """What makes no sense in the attributes that a category would define itself: field by field."""
    faults: Faults = {}
    if len(schema) > MOST_ATTRIBUTES:
        faults["attributes"] = [f"Must have at most {MOST_ATTRIBUTES} entries"]
    keys: set[str] = set()
    for index, attribute in enumerate(schema):
        for field, fault in _faults_of(attribute):
            faults.setdefault(f"attributes[{index}].{field}", []).append(fault)
        if attribute.key in keys:
            faults.setdefault(f"attributes[{index}].key", []).append("Is there twice")
        keys.add(attribute.key)
    return faults


def faults_of_attributes(schema: Schema, attributes: Mapping[str, Any], *, complete: bool = True) -> Faults:
    """What is wrong with the attributes of a thing, field by field; nothing where it is as the schema says.

    ``schema`` is a category's with all that it inherits. Unless the thing must be ``complete``, as a draft need not
    be, nothing is missed. ``None`` is as good as nothing at all.
    """
    faults: Faults = {}
    known = {attribute.key: attribute for attribute in schema}
    for key, value in attributes.items():
        if key not in known:
            faults[f"attributes.{key}"] = ["Is not an attribute of this category"]
        elif value is not None:
            for path, fault in _faults_of_value(known[key], value):
                faults.setdefault(f"attributes.{key}{path}", []).append(fault)
    if complete:
        for attribute in schema:
            if attribute.required and attributes.get(attribute.key) is None:
                faults[f"attributes.{attribute.key}"] = ["Is required"]
    return faults


def _faults_of(attribute: Attribute) -> Iterable[tuple[str, str]]:
    if not _KEY.fullmatch(attribute.key):
        yield "key", "Must be letters and digits in camelCase, and at most 50 of them"
    if not attribute.label.strip():
        yield "label", "Must not be empty"
    chosen, number = attribute.type in _CHOSEN, attribute.type is AttributeType.NUMBER
    if chosen and not attribute.options:
        yield "options", "Is required"
    if not chosen and attribute.options:
        yield "options", f"Are for {AttributeType.ENUM} and {AttributeType.MULTI} only"
    if len(attribute.options) > MOST_OPTIONS:
        yield "options", f"Must have at most {MOST_OPTIONS} entries"
    if len(set(attribute.options)) < len(attribute.options):
        yield "options", "Must not be there twice"
    if not all(0 < len(option) <= LONGEST_TEXT and option == option.strip() for option in attribute.options):
        yield "options", f"Must be texts of 1 to {LONGEST_TEXT} characters, without blanks around them"
    for field, given in (("unit", attribute.unit or None), ("min", attribute.min), ("max", attribute.max)):
        if given is not None and not number:
            yield field, f"Is for {AttributeType.NUMBER} only"
    if attribute.min is not None and attribute.max is not None and attribute.min > attribute.max:
        yield "max", "Must be at least the min"


def _faults_of_value(attribute: Attribute, value: Any) -> Iterable[tuple[str, str]]:
    match attribute.type:
        case AttributeType.STRING:
            yield from _faults_of_text(value)
        case AttributeType.NUMBER:
            yield from _faults_of_number(attribute, value)
        case AttributeType.BOOLEAN:
            if not isinstance(value, bool):
                yield "", "Must be true or false"
        case AttributeType.ENUM:
            if not _is_option(attribute, value):
                yield "", _one_of(attribute)
        case AttributeType.MULTI:
            yield from _faults_of_choice(attribute, value)


def _faults_of_text(value: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(value, str):
        yield "", "Must be a text"
    elif not value.strip():
        yield "", "Must not be empty"
    elif len(value) > LONGEST_TEXT:
        yield "", f"Must be at most {LONGEST_TEXT} characters"


def _faults_of_number(attribute: Attribute, value: Any) -> Iterable[tuple[str, str]]:
    endless = isinstance(value, float) and not math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or endless:
        yield "", "Must be a number"
        return
    if abs(value) > LARGEST_NUMBER:
        yield "", f"Must be between -{LARGEST_NUMBER:.0f} and {LARGEST_NUMBER:.0f}"
        return
    if attribute.min is not None and value < attribute.min:
        yield "", f"Must be at least {attribute.min:g}"
    if attribute.max is not None and value > attribute.max:
        yield "", f"Must be at most {attribute.max:g}"


def _faults_of_choice(attribute: Attribute, value: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(value, list | tuple):
        yield "", "Must be a list"
        return
    if not value and attribute.required:
        yield "", "Must have at least 1 entries"
    for index, choice in enumerate(value):
        if not _is_option(attribute, choice):
            yield f"[{index}]", _one_of(attribute)
        elif choice in value[:index]:
            yield f"[{index}]", "Is there twice"


def _is_option(attribute: Attribute, value: Any) -> bool:
    return isinstance(value, str) and value in attribute.options


def _one_of(attribute: Attribute) -> str:
    return f"Must be one of {', '.join(attribute.options)}"
