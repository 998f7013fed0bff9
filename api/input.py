"""What clients send: read generously, refused field by field.

Every spelling that one of the contract's documents uses is accepted: snake_case keys are folded to camelCase, then
synonyms to the one name that we use (contract README, decision 1). Values are not so lenient: a number in quotes is a
text, and ``true`` is not 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from litestar.connection import ASGIConnection, Request
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.exceptions import HTTPException
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition
from msgspec import Meta, structs

from domain.kernel import InvalidInputError
from domain.money import Money, minor_units

Faults = dict[str, list[str]]


class MalformedJsonError(InvalidInputError):
    """It cannot even be read: 400 everywhere, also where input that can be is refused with another status (C4)."""


SYNONYMS: Final[Mapping[str, str]] = {
    "qty": "quantity",
    "stockQuantity": "stock",
    "inventoryCount": "stock",
    "categoryId": "category",
    "addressLine1": "address",
    "line1": "address",
    "postalCode": "zipCode",
    "postCode": "zipCode",
    "zip": "zipCode",
    "cost": "baseCost",
    "flatRate": "baseCost",
    "regions": "countries",
}


class Check:
    """``Annotated[str, Check(faults_of)]``: what else is wrong with a value of the right type, in S2's words."""

    def __init__(self, faults_of: Callable[[Any], list[str]]) -> None:
        self.faults_of = faults_of


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request's body; or its query, whose values are all texts.

    What is null counts as not given, unless the body says by ``keeps_null`` that null clears a field; within the
    objects that ``keeps_null_in`` names, it clears one of theirs.
    """

    keeps_null: ClassVar[bool] = False
    keeps_null_in: ClassVar[frozenset[str]] = frozenset()
    keeps_blank: ClassVar[frozenset[str]] = frozenset()
    """Parameters of a query that say something by being there without a value; others are not given then."""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Mapping[str, Any]:
        """The parameters of a query by our names, of whichever spellings they have of their own."""
        return given

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        """What is missing that no single field can tell."""
        return {}


B = TypeVar("B", bound=Body)


def _price_faults(price: float) -> list[str]:
    try:
        minor_units(price)
    except (ValueError, ArithmeticError):
        return ["Must have at most 2 decimals"]
    return []


def _url_faults(url: str) -> list[str]:
    return [] if _URL.fullmatch(url) else ["Must be a valid URL"]


def _optional_url_faults(url: str) -> list[str]:
    return _url_faults(url) if url else []


_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)

Price = Annotated[float, Meta(gt=0, le=100_000_000), Check(_price_faults)]
PriceBound = Annotated[float, Meta(ge=0, le=100_000_000), Check(_price_faults)]
Quantity = Annotated[int, Meta(ge=1, le=999, examples=[1])]
Stock = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Url = Annotated[str, Meta(max_length=2048), Check(_url_faults)]
OptionalUrl = Annotated[str, Meta(max_length=2048), Check(_optional_url_faults)]
"""An empty one is none, as our answers have it (C59)."""
Text = Annotated[str, Meta(min_length=1, max_length=200)]
AnyReference = Annotated[int, Meta(ge=0, lt=10**18)] | Annotated[str, Meta(min_length=1, max_length=100)]
"""An integer id, a uuid, a slug or a number (C10)."""


def money(price: float) -> Money:
    return Money(minor_units(price))


def percentage(value: float) -> Decimal:
    return Decimal(str(value))


def decode(content: bytes, body_type: type[B]) -> B:
    """The body of a request, or ``InvalidInputError`` that names each field in the way."""
    raw = folded(content, keeps_null=body_type.keeps_null, within=body_type.keeps_null_in)
    if not isinstance(raw, dict):
        raise InvalidInputError({"body": ["Must be an object"]})
    return _converted(raw, body_type, strict=True)


def folded(content: bytes, *, keeps_null: bool = False, within: Collection[str] = ()) -> Any:
    """What a request's body says, whoever looks into it: with its keys in our spelling."""
    try:
        return _fold(msgspec.json.decode(content), "body", keeps_null=keeps_null, within=within)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise MalformedJsonError({"body": [f"Is not JSON: {broken}"]}, "Malformed JSON") from broken


def decode_query(query_string: bytes, query_type: type[B]) -> B:
    """The query of a request; a parameter that is repeated is a list, as one with commas is.

    It is read in the order of its names, whoever sent it in which: what differs in that alone is the same question, and
    may be given the answer that another one got.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(by_name(query_string).decode("latin-1"), keep_blank_values=True):
        key = camel(name)
        if value or key in query_type.keeps_blank:
            given[key] = f"{given[key]},{value}" if key in given else value
    return _converted(dict(query_type.read(_fold(given, "query"))), query_type, strict=False)


def by_name(query_string: bytes) -> bytes:
    """The parameters in the order of their names; those of one name stay as they are."""
    if b"&" not in query_string:
        return query_string
    parameters = sorted(query_string.split(b"&"), key=_name_of)
    return b"&".join(parameters)


def _name_of(parameter: Any) -> bytes:
    name: bytes = parameter.partition(b"=")[0]
    return name


def is_understood(query_string: bytes, query_type: type[Body]) -> bool:
    """Whether every parameter means something; others, and those without a value, are not refused but passed over."""
    parameters = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    given = {camel(name): value for name, value in parameters}
    if any(not value and name not in query_type.keeps_blank for name, value in given.items()):
        return False
    return query_type.read(_fold(given, "query")).keys() <= set(query_type.__struct_encode_fields__)


async def optional_body(request: Request[Any, Any, Any], body_type: type[B]) -> B:
    """The body of a request that may come without one."""
    content = await request.body()
    if not content:
        return body_type()
    require_json(request)
    return decode(content, body_type)


class RequestBody(AbstractDTO[Body]):
    """Lets Litestar decode ``data`` our way, and document it as what it is."""

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """There is nothing to prepare: the bodies are their own transfer model."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        return field_definition.is_subclass_of(Body)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Iterator[DTOFieldDefinition]:  # type: ignore[override]
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False

    def decode_bytes(self, value: bytes) -> Any:
        require_json(self.asgi_connection)
        field = self.asgi_connection.route_handler.parsed_data_field
        return decode(value, field.annotation)


def require_json(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    content_type = connection.headers.get("content-type", "application/json")
    if "json" not in content_type.partition(";")[0].lower():
        raise HTTPException(status_code=415, detail="The body must be application/json")


def camel(name: str) -> str:
    """What stands in brackets is a name of somebody else's."""
    return _camel(name) if "_" in name and "[" not in name and len(name) < 64 else name


@lru_cache(maxsize=2048)
def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _fold(value: Any, field: str, *, keeps_null: bool = False, within: Collection[str] = ()) -> Any:
    """Keys in our spelling."""
    if isinstance(value, dict):
        folded: dict[str, Any] = {}
        for key, item in value.items():
            if item is None and not keeps_null:
                continue
            name = camel(_without_nul(key, field))
            ours = SYNONYMS.get(name, name)
            if ours == name or ours not in folded:
                folded[ours] = _fold(item, ours, keeps_null=ours in within)
        return folded
    if isinstance(value, list):
        return [_fold(item, field) for item in value]
    return _without_nul(value, field) if isinstance(value, str) else value


def _without_nul(text: str, field: str) -> str:
    """Postgres cannot hold it, so it must not get into the log, nor as a key of one's own making."""
    if "\0" in text:
        raise InvalidInputError({field: ["Must not contain the character NUL"]})
    return text


def _converted(raw: dict[str, Any], body_type: type[B], *, strict: bool) -> B:
    faults = body_type.absent(raw)
    try:
        body = msgspec.convert(raw, body_type, strict=strict)
    except msgspec.ValidationError:
        # msgspec stops at the first fault; clients want them all.
        for field in structs.fields(body_type):
            value = raw.get(field.encode_name)
            if value is None and not (body_type.keeps_null and field.encode_name in raw):
                if field.required:
                    faults[field.encode_name] = ["Is required"]
                continue
            try:
                converted = msgspec.convert(value, field.type, strict=strict)
            except msgspec.ValidationError as wrong:
                path, fault = _readable(str(wrong))
                faults.setdefault(field.encode_name + path, []).append(fault)
            else:
                _check_value(converted, _hints(body_type)[field.name], field.encode_name, faults)
        raise InvalidInputError(faults) from None
    _check_body(body, "", faults)
    if faults:
        raise InvalidInputError(faults)
    return body


def _check_body(body: Body, prefix: str, faults: Faults) -> None:
    for name, path, hint in _checked_fields(type(body)):
        value = getattr(body, name)
        if value is not None and value is not msgspec.UNSET:
            _check_value(value, hint, prefix + path, faults)


def _check_value(value: Any, hint: Any, path: str, faults: Faults) -> None:
    for check in _checks(hint):
        if found := check.faults_of(value):
            faults.setdefault(path, []).extend(found)
    if isinstance(value, Body):
        _check_body(value, f"{path}.", faults)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_value(item, _item_hint(hint), f"{path}[{index}]", faults)


@lru_cache(maxsize=256)
def _hints(body_type: type[Body]) -> dict[str, Any]:
    return get_type_hints(body_type, include_extras=True)


@lru_cache(maxsize=256)
def _checked_fields(body_type: type[Body]) -> tuple[tuple[str, str, Any], ...]:
    """Attribute, name on the wire and type of each field that there is more to check about."""
    hints = _hints(body_type)
    return tuple(
        (field.name, field.encode_name, hints[field.name])
        for field in structs.fields(body_type)
        if _is_checked(hints[field.name])
    )


def _is_checked(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, Body):
        return True
    return bool(_checks(hint)) or any(
        _is_checked(part) for part in get_args(hint) if not isinstance(part, Check | Meta)
    )


_ABSENT: Final = frozenset({type(None), msgspec.UnsetType})


def _checks(hint: Any) -> list[Check]:
    """The checks of a type, be it optional."""
    if get_origin(hint) is Annotated:
        return [extra for extra in get_args(hint)[1:] if isinstance(extra, Check)]
    options = [part for part in get_args(hint) if get_origin(part) is Annotated]
    optional = not _ABSENT.isdisjoint(get_args(hint))
    return _checks(options[0]) if len(options) == 1 and optional else []


def _item_hint(hint: Any) -> Any:
    parts = [part for part in get_args(hint) if part not in (*_ABSENT, Ellipsis)]
    if get_origin(hint) in (tuple, list):
        return parts[0]
    return _item_hint(parts[0]) if parts else hint


_KINDS: Final = {
    "int": "an integer",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "an ISO 8601 time",
}

_READABLE: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"missing required field `(.*)`"), lambda _: "Is required"),
    (re.compile(r"`str` of length >= 1$"), lambda _: "Must not be empty"),
    (re.compile(r"`str` of length >= (\d+)"), lambda m: f"Must be at least {m[1]} characters"),
    (re.compile(r"`str` of length <= (\d+)"), lambda m: f"Must be at most {m[1]} characters"),
    (re.compile(r"`array` of length >= (\d+)"), lambda m: f"Must have at least {m[1]} entries"),
    (re.compile(r"`array` of length <= (\d+)"), lambda m: f"Must have at most {m[1]} entries"),
    (re.compile(r"`\w+` >= (\S+)"), lambda m: f"Must be at least {_plain(m[1])}"),
    (re.compile(r"`\w+` <= (\S+)"), lambda m: f"Must be at most {_plain(m[1])}"),
    (re.compile(r"`\w+` > (\S+)"), lambda m: f"Must be greater than {_plain(m[1])}"),
    (re.compile(r"`\w+` < (\S+)"), lambda m: f"Must be less than {_plain(m[1])}"),
    (re.compile(r"Invalid enum value"), lambda _: "Is not one of the possible values"),
    (re.compile(r"Expected `([\w| ]+)`, got"), lambda m: f"Must be {_kinds(m[1])}"),
)


def _readable(message: str) -> tuple[str, str]:
    """Path below the field and fault in plain words, of a message of msgspec's."""
    text, _, at = message.partition(" - at `$")
    path = at.rstrip("`").replace("[...]", "")
    for pattern, fault in _READABLE:
        match = pattern.search(text)
        if match is not None:
            missing = f".{match[1]}" if "missing" in match[0] else ""
            return path + missing, fault(match)
    return path, text


def _plain(number: str) -> str:
    return number.removesuffix(".0")


def _kinds(names: str) -> str:
    wanted = [_KINDS.get(name.strip(), name.strip()) for name in names.split("|") if name.strip() != "null"]
    return " or ".join(wanted)
