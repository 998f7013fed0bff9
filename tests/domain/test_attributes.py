from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.attributes import Attribute, AttributeType, Schema, faults_of_attributes, faults_of_schema

SCHEMA: Schema = (
    Attribute(key="brandStory", label="Story", type=AttributeType.STRING),
    Attribute(key="screenSize", label="Screen", type=AttributeType.NUMBER, unit="in", min=1, max=20),
    Attribute(key="used", label="Used", type=AttributeType.BOOLEAN, required=True),
    Attribute(key="size", label="Size", type=AttributeType.ENUM, options=("S", "M"), required=True),
    Attribute(key="colors", label="Colors", type=AttributeType.MULTI, options=("red", "blue"), required=True),
)
GOOD = {"brandStory": "Old", "screenSize": 6.1, "used": False, "size": "M", "colors": ["red", "blue"]}


class TestAttributesOfAThing:
    def test_what_the_schema_asks_for_is_right(self) -> None:
        assert faults_of_attributes(SCHEMA, GOOD) == {}
        assert faults_of_attributes((), {}) == {}

    @pytest.mark.parametrize(
        ("key", "value", "path", "fault"),
        [
            ("brandStory", 7, "", "Must be a text"),
            ("brandStory", "  ", "", "Must not be empty"),
            ("brandStory", "x" * 201, "", "Must be at most 200 characters"),
            ("screenSize", "6", "", "Must be a number"),
            ("screenSize", True, "", "Must be a number"),
            ("screenSize", float("nan"), "", "Must be a number"),
            ("screenSize", 0.5, "", "Must be at least 1"),
            ("screenSize", 21, "", "Must be at most 20"),
            ("used", 1, "", "Must be true or false"),
            ("used", "true", "", "Must be true or false"),
            ("used", None, "", "Is required"),
            ("size", "XL", "", "Must be one of S, M"),
            ("size", ["S"], "", "Must be one of S, M"),
            ("colors", "red", "", "Must be a list"),
            ("colors", [], "", "Must have at least 1 entries"),
            ("colors", ["red", "green"], "[1]", "Must be one of red, blue"),
            ("colors", ["red", "red"], "[1]", "Is there twice"),
            ("colors", [{}], "[0]", "Must be one of red, blue"),
            ("weight", 3, "", "Is not an attribute of this category"),
        ],
    )
    def test_each_fault_is_named_where_it_is(self, key: str, value: Any, path: str, fault: str) -> None:
        assert faults_of_attributes(SCHEMA, {**GOOD, key: value}) == {f"attributes.{key}{path}": [fault]}

    def test_a_draft_need_not_be_complete_and_must_not_be_wrong(self) -> None:
        assert faults_of_attributes(SCHEMA, {}, complete=False) == {}
        assert list(faults_of_attributes(SCHEMA, {})) == [
            "attributes.used",
            "attributes.size",
            "attributes.colors",
        ]
        assert list(faults_of_attributes(SCHEMA, {"size": "XL"}, complete=False)) == ["attributes.size"]


class TestASchema:
    @pytest.mark.parametrize(
        ("field", "attribute"),
        [
            ("key", Attribute(key="Size", label="x", type=AttributeType.STRING)),
            ("key", Attribute(key="screen_size", label="x", type=AttributeType.STRING)),
            ("label", Attribute(key="size", label=" ", type=AttributeType.STRING)),
            ("options", Attribute(key="size", label="x", type=AttributeType.ENUM)),
            ("options", Attribute(key="size", label="x", type=AttributeType.STRING, options=("a",))),
            ("options", Attribute(key="size", label="x", type=AttributeType.MULTI, options=("a", "a"))),
            ("options", Attribute(key="size", label="x", type=AttributeType.MULTI, options=("a ",))),
            ("unit", Attribute(key="size", label="x", type=AttributeType.STRING, unit="in")),
            ("min", Attribute(key="size", label="x", type=AttributeType.BOOLEAN, min=1)),
            ("max", Attribute(key="size", label="x", type=AttributeType.NUMBER, min=2, max=1)),
        ],
    )
    def test_makes_sense_field_by_field(self, field: str, attribute: Attribute) -> None:
        fine = Attribute(key="other", label="Other", type=AttributeType.NUMBER)
        assert list(faults_of_schema((fine, attribute))) == [f"attributes[1].{field}"]

    def test_has_each_key_once(self) -> None:
        twice = Attribute(key="size", label="Size", type=AttributeType.STRING)
        assert faults_of_schema((twice, twice)) == {"attributes[1].key": ["Is there twice"]}

    def test_has_a_bounded_number_of_attributes(self) -> None:
        many = [Attribute(key=f"a{n}", label="x", type=AttributeType.STRING) for n in range(51)]
        assert faults_of_schema(many) == {"attributes": ["Must have at most 50 entries"]}
        assert faults_of_schema(SCHEMA) == {}


KEYS = st.from_regex(r"[a-z][A-Za-z0-9]{0,9}", fullmatch=True)
OPTIONS = st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1, max_size=4, unique=True)


@st.composite
def schemas(draw: st.DrawFn) -> list[Attribute]:
    keys = draw(st.lists(KEYS, max_size=6, unique=True))
    return [draw(_attributes(key)) for key in keys]


@st.composite
def _attributes(draw: st.DrawFn, key: str) -> Attribute:
    kind = draw(st.sampled_from(AttributeType))
    fields: dict[str, Any] = {}
    if kind in {AttributeType.ENUM, AttributeType.MULTI}:
        fields["options"] = tuple(draw(OPTIONS))
    if kind is AttributeType.NUMBER and draw(st.booleans()):
        fields |= {"min": draw(st.integers(-9, 0)), "max": draw(st.integers(0, 9))}
    return Attribute(key=key, label="Label", type=kind, required=draw(st.booleans()), **fields)


def good_value(attribute: Attribute) -> st.SearchStrategy[Any]:
    match attribute.type:
        case AttributeType.STRING:
            return st.text(min_size=1, max_size=200).filter(lambda text: bool(text.strip()))
        case AttributeType.NUMBER:
            low = -1e9 if attribute.min is None else attribute.min
            high = 1e9 if attribute.max is None else attribute.max
            return st.floats(low, high)
        case AttributeType.BOOLEAN:
            return st.booleans()
        case AttributeType.ENUM:
            return st.sampled_from(attribute.options)
        case AttributeType.MULTI:
            return st.lists(st.sampled_from(attribute.options), min_size=1, unique=True)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


class TestProperties:
    @given(schemas())
    def test_a_schema_made_by_the_rules_is_without_faults(self, schema: list[Attribute]) -> None:
        assert faults_of_schema(schema) == {}

    @given(st.data())
    def test_good_values_are_taken_and_one_bad_one_is_named_alone(self, data: st.DataObject) -> None:
        schema = data.draw(schemas())
        values = {attribute.key: data.draw(good_value(attribute)) for attribute in schema}
        assert faults_of_attributes(schema, values) == {}
        for attribute in schema:
            faults = faults_of_attributes(schema, {**values, attribute.key: {}})
            assert list(faults) == [f"attributes.{attribute.key}"]
            missing = faults_of_attributes(schema, {k: v for k, v in values.items() if k != attribute.key})
            assert bool(missing) == attribute.required

    @given(schemas(), st.dictionaries(KEYS, ANYTHING, max_size=6))
    def test_whatever_is_said_is_judged_and_only_what_is_said_is_blamed(
        self, schema: list[Attribute], said: dict[str, Any]
    ) -> None:
        keys = {attribute.key for attribute in schema}
        faults = faults_of_attributes(schema, said, complete=False)
        blamed = {path.removeprefix("attributes.").partition("[")[0] for path in faults}
        assert blamed <= said.keys()
        assert said.keys() - keys <= blamed
        assert set(faults) <= set(faults_of_attributes(schema, said))
