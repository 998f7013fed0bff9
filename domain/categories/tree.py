"""The tree of all categories: one aggregate, so that what must be right for all of them together is decided at once.

Two moves that would make a cycle together, a child below a category that is just being deleted, the same attribute
above and below each other: whoever comes second decides on what the first one did. Only admins change the tree, and
seldom, so that they wait for each other costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from domain.attributes import Attribute
from domain.categories.category import Category
from domain.categories.events import CategoryFiled, CategoryUnfiled, TreeEvent
from domain.kernel import CategoryId, Decider, InvalidInputError, RuleViolatedError, StillReferencedError

DEEPEST: Final = 5


class CategoryCycleError(RuleViolatedError):
    code = "CATEGORY_CYCLE"


class CategoryTooDeepError(RuleViolatedError):
    code = "CATEGORY_TOO_DEEP"


class AttributeDefinedTwiceError(RuleViolatedError):
    code = "ATTRIBUTE_DEFINED_TWICE"


class CategoryNotEmptyError(StillReferencedError):
    code = "CATEGORY_NOT_EMPTY"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a category stands, and what of it others depend on."""

    number: int
    parent_id: CategoryId | None = None
    active: bool = True
    attributes: tuple[Attribute, ...] = ()
    uncounted: bool = False


class CategoryTree(msgspec.Struct, frozen=True, kw_only=True):
    """``successors`` says of deleted categories which one has their listings."""

    places: dict[CategoryId, Place] = msgspec.field(default_factory=dict)
    successors: dict[CategoryId, CategoryId] = msgspec.field(default_factory=dict)

    def number_of(self, category_id: CategoryId | None) -> int | None:
        return None if category_id is None else self.places[category_id].number

    def above(self, category_id: CategoryId | None) -> list[CategoryId]:
        """The category and those above it, the root last."""
        path = []
        while category_id is not None and category_id in self.places:
            path.append(category_id)
            category_id = self.places[category_id].parent_id
        return path

    def children(self, parent_id: CategoryId | None) -> list[CategoryId]:
        """Those directly below it; of nothing, the roots."""
        return [child for child, place in self.places.items() if place.parent_id == parent_id]

    def below(self, category_id: CategoryId) -> list[CategoryId]:
        """All below it, each after the one that it is below."""
        found = self.children(category_id)
        for child in found:
            found.extend(self.children(child))
        return found

    def is_open(self, category_id: CategoryId) -> bool:
        """Whether it is seen: it is active, and so is all above it."""
        return all(self.places[each].active for each in self.above(category_id))

    def schema_of(self, category_id: CategoryId) -> tuple[Attribute, ...]:
        """The attributes of listings in it: the inherited ones first."""
        path = reversed(self.above(category_id))
        return tuple(attribute for each in path for attribute in self.places[each].attributes)

    def standing(self, category_id: CategoryId) -> CategoryId:
        """The category itself, or the one that has its listings now."""
        while category_id in self.successors:
            category_id = self.successors[category_id]
        return category_id

    def lineage(self, category_ids: Iterable[CategoryId]) -> tuple[CategoryId, ...]:
        """Those that something which says that it is in ``category_ids`` is in: of a deleted one also its successor.

        The deleted one itself stays among them, for whoever meant what was in it and not all that is there now.
        """
        found: dict[CategoryId, None] = {}
        for category_id in category_ids:
            found[category_id] = None
            found.update(dict.fromkeys(self.above(self.standing(category_id))))
        return tuple(found)

    def predecessors(self, category_id: CategoryId) -> list[CategoryId]:
        """The deleted ones whose listings it has."""
        return [former for former in self.successors if self.standing(former) == category_id]

    def file(self, category: Category) -> list[TreeEvent]:
        """Give the category the place that it would have; refused where it does not fit there."""
        before = self.places.get(category.id)
        place = Place(
            number=category.number,
            parent_id=category.parent_id,
            active=category.active,
            attributes=category.attributes,
            uncounted=before is not None and before.uncounted,
        )
        if place == before:
            return []
        self._require_room(category)
        self._require_distinct(category)
        return [_filed(category.id, place)]

    def remove(
        self, category_id: CategoryId, successor_id: CategoryId | None, *, listings: int
    ) -> list[TreeEvent]:
        """Take it out of the tree; ``listings`` counts those in it. With a successor its children are there by now."""
        place = self.places[category_id]
        if successor_id is None:
            if children := len(self.children(category_id)):
                raise CategoryNotEmptyError(
                    "The category has others below it", details={"children": children}
                )
            if listings or place.uncounted:
                # Of one that is older than the counting nobody knows: it takes a successor.
                raise CategoryNotEmptyError(
                    "There are listings in the category", details={"listings": listings}
                )
        else:
            self.require_successor(category_id, successor_id)
        return [CategoryUnfiled(category_id=category_id, successor_id=successor_id)]

    def require_successor(self, category_id: CategoryId, successor_id: CategoryId) -> None:
        if successor_id not in self.places:
            raise InvalidInputError({"reassignTo": ["Does not exist"]})
        if category_id in self.above(successor_id):
            fault = {"reassignTo": ["Must not be the category itself, nor below it"]}
            raise CategoryCycleError("What is in a category cannot be moved into itself", details=fault)

    def require_all_children(
        self, parent_id: CategoryId | None, named: Sequence[CategoryId], field: str
    ) -> None:
        """An order says of each where it comes."""
        if len(set(named)) < len(named) or set(named) != set(self.children(parent_id)):
            raise InvalidInputError({field: ["Must name each category there once"]})

    def _require_room(self, category: Category) -> None:
        parent_id = category.parent_id
        if parent_id is None:
            path: list[CategoryId] = []
        elif parent_id not in self.places:
            raise InvalidInputError({"parent": ["Does not exist"]})
        else:
            path = self.above(parent_id)
        if category.id in path:
            fault = {"parent": ["Must not be the category itself, nor below it"]}
            raise CategoryCycleError("A category cannot be below itself", details=fault)
        if len(path) + self._height(category.id) > DEEPEST:
            fault = {"parent": [f"Must leave room: the tree is at most {DEEPEST} deep"]}
            raise CategoryTooDeepError(f"Categories are at most {DEEPEST} deep", details=fault)

    def _height(self, category_id: CategoryId) -> int:
        """How many levels it is with all below it."""
        return 1 + max((self._height(child) for child in self.children(category_id)), default=0)

    def _require_distinct(self, category: Category) -> None:
        """A listing has one value by each key, so no two of its categories may define it."""
        inherited = () if category.parent_id is None else self.schema_of(category.parent_id)
        above = {attribute.key for attribute in inherited}
        clashes = _keys_in(category.attributes, above)
        above |= {attribute.key for attribute in category.attributes}
        for each in self.below(category.id):
            clashes += _keys_in(self.places[each].attributes, above)
        if clashes:
            faults = [f"{key} is defined above or below already" for key in dict.fromkeys(clashes)]
            raise AttributeDefinedTwiceError(
                "An attribute is defined once along a branch", details={"attributes": faults}
            )

    @classmethod
    def evolve(cls, tree: CategoryTree | None, event: TreeEvent) -> CategoryTree:
        known = tree or cls()
        match event:
            case CategoryFiled():
                place = Place(
                    number=event.number,
                    parent_id=event.parent_id,
                    active=event.active,
                    attributes=event.attributes,
                    uncounted=event.uncounted,
                )
                places = {**known.places, event.category_id: place}
                return cls(places=places, successors=known.successors)
            case CategoryUnfiled(category_id=category_id, successor_id=successor_id):
                places = {each: place for each, place in known.places.items() if each != category_id}
                successors = known.successors
                if successor_id is not None:
                    successors = {**successors, category_id: successor_id}
                    if known.places[category_id].uncounted:
                        places[successor_id] = replace(places[successor_id], uncounted=True)
                return cls(places=places, successors=successors)
            case _:
                assert_never(event)


def planted(found: Sequence[Category]) -> list[TreeEvent]:
    """The tree of categories that were there before there was one."""
    return [
        _filed(
            category.id,
            Place(
                number=category.number,
                parent_id=category.parent_id,
                active=category.active,
                attributes=category.attributes,
                uncounted=True,
            ),
        )
        for category in found
    ]


def _filed(category_id: CategoryId, place: Place) -> CategoryFiled:
    return CategoryFiled(
        category_id=category_id,
        number=place.number,
        parent_id=place.parent_id,
        active=place.active,
        attributes=place.attributes,
        uncounted=place.uncounted,
    )


def _keys_in(attributes: Sequence[Attribute], keys: Collection[str]) -> list[str]:
    return [attribute.key for attribute in attributes if attribute.key in keys]


TREE: Decider[CategoryTree, TreeEvent] = Decider("category_tree", CategoryTree.evolve, snapshot=CategoryTree)
