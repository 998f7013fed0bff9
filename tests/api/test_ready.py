"""What is at hand of everybody's answers, and when it has to go."""

from collections.abc import Collection, Mapping
from itertools import permutations
from time import perf_counter
from types import SimpleNamespace
from typing import Annotated, Any
from uuid import UUID

import pytest
from msgspec import Meta

from api import ready
from api.catalogue import ProductQuery
from api.input import Body, by_name, decode_query
from api.ready import ANY_PRODUCT, CATEGORIES, Ready, ReadyAnswers, Shared, etag_of, is_among, share
from projections.generations import Moved
from projections.products.effects import IN_STOCK, LISTED, RATED

PHONE, LAPTOP = UUID(int=1), UUID(int=2)


class Shelf:
    """A store that is told, and what tests put into it."""

    def __init__(self, **bounds: int) -> None:
        self.answers = ReadyAnswers(**bounds)
        self.answers.follow(True)
        for name in ("products", "categories", "collections", "sellers"):
            self.answers.find(name, 1, 10)

    def put(
        self,
        path: str,
        *shows: UUID,
        on: Collection[str] = (),
        models: Collection[str] = ("products",),
        begun: int | None = None,
        seconds: float = 300.0,
        body: bytes = b"{}",
    ) -> bool:
        shared = Shared(
            shows=shows, on=frozenset(on), models=frozenset(models), seconds=seconds, holdable=True
        )
        made = Ready((path, b"", False), shared, body, route="", etag=b"", position=10)
        return self.answers.keep(made, shared, self.answers.moment if begun is None else begun)

    def at(self, path: str, wanted: int = 0) -> Ready | None:
        return self.answers.at((path, b"", False), perf_counter(), wanted)

    def held(self, *paths: str) -> list[str]:
        return [path for path in paths if self.at(path) is not None]

    def hear(
        self,
        changed: Mapping[UUID, Collection[str]] | None,
        *,
        name: str = "products",
        generation: int = 1,
        after: int = 10,
        position: int = 11,
    ) -> None:
        moved = Moved(name=name, generation=generation, position=position, after=after, changed=changed)
        self.answers.hear(moved)


class TestLettingGo:
    def test_what_shows_a_document_goes_with_it(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        shelf.put("/both", PHONE, LAPTOP)
        shelf.put("/laptop", LAPTOP)
        shelf.hear({PHONE: ()})
        assert shelf.held("/phone", "/both", "/laptop") == ["/laptop"]
        assert (len(shelf.answers), shelf.answers.dropped) == (1, 2)

    @pytest.mark.parametrize(
        ("effects", "left"),
        [
            ((), ["/list", "/rated", "/in-stock"]),
            ((RATED,), ["/list", "/in-stock"]),
            ((IN_STOCK,), ["/list", "/rated"]),
            ((LISTED,), []),
        ],
    )
    def test_what_does_not_show_it_goes_by_what_it_means_to_lists(
        self, effects: Collection[str], left: list[str]
    ) -> None:
        shelf = Shelf()
        shelf.put("/list", LAPTOP, on={LISTED})
        shelf.put("/rated", LAPTOP, on={LISTED, RATED})
        shelf.put("/in-stock", on={LISTED, IN_STOCK})
        shelf.hear({PHONE: effects})
        assert shelf.held("/list", "/rated", "/in-stock") == left

    def test_each_read_model_is_heard_of_by_itself(self) -> None:
        shelf = Shelf()
        shelf.put("/tree", on=CATEGORIES, models=["categories"])
        shelf.put("/in", PHONE, on={LISTED, *CATEGORIES}, models=["products", "categories"])
        shelf.put("/phone", PHONE)
        shelf.hear({UUID(int=9): ["categories"]}, name="categories")
        assert shelf.held("/tree", "/in", "/phone") == ["/phone"]

    def test_a_batch_that_changed_nothing_lets_nothing_go(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        shelf.hear({})
        assert shelf.held("/phone") == ["/phone"]

    @pytest.mark.parametrize(
        "told",
        [
            {"changed": None},
            {"changed": {}, "after": 11, "position": 12},
            {"changed": {}, "generation": 2},
        ],
        ids=["too many", "one was missed", "another generation"],
    )
    def test_everything_goes_when_it_cannot_be_told_what_has_changed(self, told: dict[str, Any]) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        shelf.put("/tree", on=CATEGORIES, models=["categories"])
        shelf.hear(**told)
        assert shelf.held("/phone", "/tree") == []
        assert shelf.answers.bytes == 0
        shelf.put("/phone", PHONE)
        shelf.hear(
            {LAPTOP: [LISTED]},
            generation=told.get("generation", 1),
            after=12 if "after" in told else 11,
            position=13,
        )
        assert shelf.held("/phone") == ["/phone"]

    def test_it_goes_when_its_time_is_over(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE, seconds=-1.0)
        assert shelf.at("/phone") is None
        assert len(shelf.answers) == 0

    def test_nothing_is_held_while_we_are_not_told(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        shelf.answers.follow(False)
        assert shelf.at("/phone") is None
        assert not shelf.put("/phone", PHONE)
        shelf.answers.follow(True)
        assert not shelf.put("/phone", PHONE), "nobody knows yet how far the read model is"
        shelf.answers.find("products", 1, 10)
        assert shelf.put("/phone", PHONE)


class TestMissing:
    def test_what_the_table_knows_and_we_have_not_heard_is_not_served(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        shelf.put("/tree", on=CATEGORIES, models=["categories"])
        shelf.answers.find("products", 1, 11)
        assert shelf.held("/phone", "/tree") == ["/tree"]
        shelf.hear({LAPTOP: ()})
        assert shelf.held("/phone", "/tree") == ["/phone", "/tree"]

    def test_a_message_that_does_not_come_is_missed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        shelf.answers.find("products", 1, 11)
        monkeypatch.setattr(ready, "MISSED_AFTER", -1.0)
        shelf.answers.find("products", 1, 11)
        assert (len(shelf.answers), shelf.put("/phone", PHONE)) == (0, True)
        assert shelf.held("/phone") == ["/phone"]

    def test_another_generation_in_the_table_is_another_read_model(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        shelf.answers.find("products", 2, 10)
        assert len(shelf.answers) == 0


class TestWanting:
    def test_what_has_not_changed_until_then_includes_a_later_position(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE)
        assert shelf.at("/phone", 11) is None
        shelf.hear({LAPTOP: ()})
        found = shelf.at("/phone", 11)
        assert found is not None
        assert found.at == (b"x-log-position", b"11")

    def test_all_read_models_that_it_is_of_must_have_come_so_far(self) -> None:
        shelf = Shelf()
        shelf.put("/in", PHONE, on=CATEGORIES, models=["products", "categories"])
        shelf.hear({})
        assert shelf.at("/in", 11) is None
        shelf.hear({}, name="categories", position=12)
        found = shelf.at("/in", 11)
        assert found is not None
        assert found.position == 11


class TestLateAnswers:
    @pytest.mark.parametrize(("on", "kept"), [({LISTED}, False), ({RATED}, True)])
    def test_what_was_read_before_a_change_is_not_kept_after_it(self, on: set[str], kept: bool) -> None:
        shelf = Shelf()
        begun = shelf.answers.moment
        shelf.hear({PHONE: [LISTED]})
        assert not shelf.put("/phone", PHONE, begun=begun)
        assert shelf.put("/laptop", LAPTOP, begun=begun)
        assert shelf.put("/list", LAPTOP, on=on, begun=begun) is kept
        assert shelf.put("/phone", PHONE)

    def test_nor_what_was_read_before_everything_went(self) -> None:
        shelf = Shelf()
        begun = shelf.answers.moment
        shelf.hear(None)
        assert not shelf.put("/laptop", LAPTOP, begun=begun)

    def test_nor_what_was_read_before_all_that_is_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ready, "MOST_REMEMBERED", 1)
        shelf = Shelf()
        begun = shelf.answers.moment
        shelf.hear({PHONE: ()})
        shelf.hear({UUID(int=3): ()}, after=11, position=12)
        assert not shelf.put("/laptop", LAPTOP, begun=begun)
        assert shelf.put("/laptop", LAPTOP)


class TestRoom:
    def test_is_bounded_by_bytes(self) -> None:
        shelf = Shelf(most_bytes=200_000)
        for number in range(300):
            assert shelf.put(f"/{number}", UUID(int=number), body=b"x" * 1000)
            assert shelf.answers.bytes <= 200_000
        assert len(shelf.answers) + shelf.answers.evicted == 300
        assert shelf.held("/0", "/299") == ["/299"]

    def test_of_what_was_asked_as_of_what_is_answered(self) -> None:
        """A list of a category that nobody knows is short, and its name need not be."""
        shelf = Shelf(most_bytes=2_000_000)
        for number in range(300):
            shelf.put(f"/category/{'x' * 20_000}{number}", on={LISTED})
        assert len(shelf.answers) * 20_000 <= 2_000_000

    def test_and_by_number(self) -> None:
        shelf = Shelf(most_answers=3)
        for number in range(5):
            shelf.put(f"/{number}", PHONE)
        assert shelf.held("/0", "/1", "/2", "/3", "/4") == ["/2", "/3", "/4"]

    def test_what_is_asked_for_again_stays_when_a_stranger_asks_for_everything_once(self) -> None:
        shelf = Shelf(most_answers=10)
        shelf.put("/wanted", PHONE)
        for number in range(200):
            shelf.put(f"/{number}", LAPTOP)
            if number % 5 == 0:
                assert shelf.at("/wanted") is not None

    def test_one_answer_does_not_take_all_of_it(self) -> None:
        assert not Shelf(most_bytes=100_000).put("/huge", PHONE, body=b"x" * 50_000)

    def test_none_at_all(self) -> None:
        assert not Shelf(most_bytes=0).put("/phone", PHONE)

    def test_another_answer_to_the_same_question_takes_its_place(self) -> None:
        shelf = Shelf()
        shelf.put("/phone", PHONE, body=b"1")
        taken = shelf.answers.bytes
        shelf.put("/phone", PHONE, body=b"2")
        assert (len(shelf.answers), shelf.answers.bytes) == (1, taken)
        found = shelf.at("/phone")
        assert found is not None
        assert found.body == b"2"


class ShelfQuery(Body, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=0)] = 10
    sort_by: str = ""


def asked(query: bytes, query_type: type[Body] | None = ShelfQuery) -> Any:
    handler = SimpleNamespace(opt={} if query_type is None else {"query": query_type})
    return SimpleNamespace(scope={"query_string": query, "route_handler": handler, "state": {}})


class TestSharing:
    @pytest.mark.parametrize(
        ("query", "query_type", "holdable"),
        [
            (b"", None, True),
            (b"limit=5&sort_by=id", ShelfQuery, True),
            (b"sortBy=id", ShelfQuery, True),
            (b"limit=5&_=1734", ShelfQuery, False),
            (b"limit=5&anything=", ShelfQuery, False),
            (b"cursor=", ProductQuery, True),
            (b"limit=5", None, False),
            (b"sortBy=" + b"x" * 600, ShelfQuery, False),
        ],
    )
    def test_names_that_nobody_knows_fill_no_memory(
        self, query: bytes, query_type: type[Body] | None, holdable: bool
    ) -> None:
        request = asked(query, query_type)
        share(request, shows=[PHONE])
        assert request.scope["state"]["shared"].holdable is holdable

    def test_what_happens_to_any_product_is_told_by_the_products(self) -> None:
        request = asked(b"")
        share(request, on=ANY_PRODUCT | CATEGORIES)
        shared = request.scope["state"]["shared"]
        assert shared.on == {LISTED, RATED, IN_STOCK, *CATEGORIES}
        assert shared.models == {"products", "categories"}


class TestOrderOfParameters:
    """One answer at hand is given to whoever asks in whichever order, so the order must not mean anything."""

    @pytest.mark.parametrize(
        "parameters",
        [
            (b"q=lamp", b"search=phone", b"text=chair"),
            (b"categories=lamps", b"categoryId=phones"),
            (b"minPrice=1", b"price[gte]=2", b"price=3-4"),
            (b"attributes[size]=M", b"size=L"),
            (b"brand=Moog", b"%62rand=Apple"),
            (b"seller_id=1", b"sellerId=2"),
        ],
    )
    def test_means_nothing(self, parameters: tuple[bytes, ...]) -> None:
        orders = [b"&".join(each) for each in permutations(parameters)]
        read = [decode_query(each, ProductQuery) for each in orders]
        assert all(each == read[0] for each in read)
        assert len({by_name(each) for each in orders}) == 1

    def test_what_is_said_in_our_own_words_wins(self) -> None:
        asked = decode_query(b"tag=cheap&tags=new&search=phone&q=lamp", ProductQuery)
        assert (asked.tags, asked.q) == ("new", "lamp")

    def test_what_is_repeated_stays_in_order(self) -> None:
        assert decode_query(b"select=title&limit=3&select=price", ProductQuery).select == "title,price"


class TestETags:
    def test_tell_the_bytes_and_the_version_where_there_is_one(self) -> None:
        assert etag_of(b"a") != etag_of(b"b")
        assert etag_of(b"a", b'"7"').startswith(b'"7-')
        assert etag_of(b"a", b'"7"') != etag_of(b"a", b'"8"')

    @pytest.mark.parametrize(
        ("given", "among"),
        [
            (b'"h1"', True),
            (b'W/"h1"', True),
            (b'"h0", W/"h1"', True),
            (b" * ", True),
            (b'"h0"', False),
            (b"h1", False),
            (b'"h1', False),
        ],
    )
    def test_are_compared_weakly(self, given: bytes, among: bool) -> None:
        assert is_among(b'"h1"', given) is among
