from typing import Any

import pytest

from tests.api.shop import Client, Shop, a_product, a_registration, assert_problem


@pytest.fixture
def listing(admin: Client, category: str) -> dict[str, Any]:
    """Something that was created, published, and became cheaper twice."""
    made = admin.made("/products/add", a_product(category))
    for price in (20, 10):
        assert admin.patch(f"/products/{made['id']}", {"price": price}).status_code == 200
    return made


class TestStreams:
    def test_tell_the_whole_history_and_the_state_after_it(
        self, auditor: Client, listing: dict[str, Any]
    ) -> None:
        history = auditor.get(f"/audit/streams/{listing['uuid']}").json()
        assert [event["type"] for event in history["events"]] == [
            "listing_created", "listing_published", "listing_price_changed", "listing_price_changed",
        ]  # fmt: skip
        assert (history["aggregate"], history["version"]) == ("listings", 4)
        assert history["state"]["price"] == {"minor": 1000, "currency": "USD"}
        assert history["state"]["number"] == listing["id"]
        first = history["events"][0]
        assert first.keys() == {
            "position", "id", "stream", "aggregate", "version", "type", "at", "actor", "impersonator", "requestId",
            "cause", "schema", "data",
        }  # fmt: skip
        assert first["actor"].startswith("user:")
        assert first["data"]["listingId"] == listing["uuid"]

    def test_tell_what_it_was_at_a_version_or_time(self, auditor: Client, listing: dict[str, Any]) -> None:
        path = f"/audit/streams/{listing['uuid']}"
        whole = auditor.get(path).json()
        early = auditor.get(path, params={"asOf": 2}).json()
        assert (early["version"], early["state"]["price"]["minor"], early["state"]["status"]) == (
            2,
            119999,
            "active",
        )
        assert auditor.get(path, params={"as_of": whole["asOf"][:-1] + "999Z"}).json() == whole
        assert_problem(auditor.get(path, params={"asOf": "2000-01-01T00:00:00Z"}), 404, "NOT_FOUND")

    def test_a_time_as_it_is_shown_includes_what_is_shown_with_it(
        self, auditor: Client, listing: dict[str, Any]
    ) -> None:
        path = f"/audit/streams/{listing['uuid']}"
        for event in auditor.get(path).json()["events"]:
            then = auditor.get(path, params={"asOf": event["at"]}).json()
            assert event in then["events"]
            assert {each["at"] <= event["at"] for each in then["events"]} == {True}

    @pytest.mark.parametrize("as_of", ["yesterday", "0", "-1", "2026-01-01T00:00:00"])
    def test_refuse_times_that_are_none(self, auditor: Client, listing: dict[str, Any], as_of: str) -> None:
        refused = auditor.get(f"/audit/streams/{listing['uuid']}", params={"asOf": as_of})
        assert_problem(refused, 400, "VALIDATION_ERROR", "asOf")

    def test_show_people_but_never_their_secrets(self, shop: Shop, auditor: Client) -> None:
        user = shop.guest.made("/auth/register", a_registration())["user"]
        history = auditor.get(f"/audit/streams/{user['uuid']}").json()
        assert history["state"]["email"] == history["events"][0]["data"]["email"] == user["email"]
        assert history["state"]["passwordHash"] == history["events"][0]["data"]["passwordHash"] == "***"

    def test_are_for_auditors_and_admins(self, shop: Shop, admin: Client, listing: dict[str, Any]) -> None:
        path = f"/audit/streams/{listing['uuid']}"
        assert admin.get(path).status_code == 200
        assert_problem(shop.user("/auth/signup").get(path), 403, "FORBIDDEN")
        assert_problem(shop.guest.get(path), 401, "UNAUTHORIZED")
        assert_problem(admin.get("/audit/streams/5e0e7d5c-0000-4000-8000-000000000000"), 404, "NOT_FOUND")
        assert_problem(admin.get("/audit/streams/nonsense"), 404, "NOT_FOUND")


class TestEvents:
    def test_are_found_by_stream_type_actor_and_time(
        self, shop: Shop, auditor: Client, listing: dict[str, Any]
    ) -> None:
        events = auditor.get(f"/audit/streams/{listing['uuid']}").json()["events"]

        def found(**query: Any) -> list[dict[str, Any]]:
            response = auditor.get(
                "/audit/events", params=query, headers={"X-Min-Log-Position": str(shop.head())}
            )
            assert response.status_code == 200, response.text
            body: list[dict[str, Any]] = response.json()["events"]
            return body

        assert found(stream=listing["uuid"]) == events
        assert found(stream=listing["uuid"], type="listing_price_changed") == events[2:]
        assert found(stream=listing["uuid"], actor="user:nobody") == []
        assert (
            found(stream=listing["uuid"], actor=events[0]["actor"], **{"from": "2000-01-01T00:00:00Z"})
            == events
        )
        assert found(stream=listing["uuid"], to="2000-01-01T00:00:00Z") == []

    def test_come_in_pages_by_a_cursor_that_nobody_can_make_up(
        self, shop: Shop, auditor: Client, listing: dict[str, Any]
    ) -> None:
        query = {"stream": listing["uuid"], "limit": 3}
        position = {"X-Min-Log-Position": str(shop.head())}
        first = auditor.get("/audit/events", params=query, headers=position).json()
        rest = auditor.get("/audit/events", params={**query, "cursor": first["nextCursor"]}).json()
        assert [event["version"] for event in first["events"] + rest["events"]] == [1, 2, 3, 4]
        assert rest["nextCursor"] is None
        for forged in ("AAAAAAAAAAE", first["nextCursor"][:-2] + "AA", "ä", "!"):
            refused = auditor.get("/audit/events", params={**query, "cursor": forged})
            assert_problem(refused, 400, "VALIDATION_ERROR", "cursor")

    @pytest.mark.parametrize(
        ("query", "field"),
        [("stream=7", "stream"), ("from=today", "from"), ("to=2026-01-01", "to"), ("limit=x", "limit")],
    )
    def test_refuse_questions_that_make_no_sense(self, auditor: Client, query: str, field: str) -> None:
        assert_problem(auditor.get(f"/audit/events?{query}"), 400, "VALIDATION_ERROR", field)
