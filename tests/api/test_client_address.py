from typing import Any

import pytest

from api.client_address import ClientAddresses, neighbourhood
from application.settings import SettingsError, networks

PROXIES = ClientAddresses(networks("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8:feed::/48,127.0.0.1"))


def a_scope(peer: str | None, *headers: tuple[str, str]) -> Any:
    return {
        "client": None if peer is None else (peer, 40_000),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


def through(*hops: str, peer: str = "10.0.0.1") -> str:
    return PROXIES.of(a_scope(peer, *(("x-forwarded-for", hop) for hop in hops)))


class TestWithoutTrustedProxies:
    def test_the_peer_is_the_client_whatever_it_says(self) -> None:
        scope = a_scope("192.0.2.7", ("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.1"))
        assert ClientAddresses().of(scope) == "192.0.2.7"

    def test_a_unix_socket_has_no_address(self) -> None:
        assert ClientAddresses().of(a_scope(None)) == ""
        assert PROXIES.of(a_scope(None, ("x-forwarded-for", "198.51.100.1"))) == ""


class TestBehindTrustedProxies:
    def test_a_stranger_cannot_name_somebody_else(self) -> None:
        assert through("198.51.100.1", peer="192.0.2.7") == "192.0.2.7"

    def test_the_rightmost_hop_that_is_not_ours_counts(self) -> None:
        assert through("198.51.100.1") == "198.51.100.1"
        assert through("1.2.3.4, 198.51.100.1") == "198.51.100.1"
        assert through("1.2.3.4, 198.51.100.1, 10.9.9.9") == "198.51.100.1"
        assert through("1.2.3.4", "198.51.100.1", "10.9.9.9") == "198.51.100.1"

    def test_claiming_to_be_a_proxy_of_ours_does_not_help(self) -> None:
        assert through("8.8.8.8, 10.1.1.1, 198.51.100.1") == "198.51.100.1"

    def test_where_all_hops_are_ours_the_first_of_them_asks(self) -> None:
        assert through("10.3.3.3, 10.2.2.2") == "10.3.3.3"

    @pytest.mark.parametrize(
        "garbage", ["unknown", "", "_hidden", "999.1.1.1", "<script>", "\xff\xfe", "a" * 9999]
    )
    def test_what_is_no_address_ends_the_search(self, garbage: str) -> None:
        assert through(f"8.8.8.8, {garbage}") == "10.0.0.1"
        assert through(f"8.8.8.8, {garbage}, 10.9.9.9") == "10.9.9.9"
        assert through(f"{garbage}, 198.51.100.1") == "198.51.100.1"

    def test_endless_lists_are_not_followed_to_their_end(self) -> None:
        assert through(",".join(["198.51.100.1"] + ["10.9.9.9"] * 5000)) == "10.9.9.9"

    @pytest.mark.parametrize(
        ("told", "address"),
        [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:0DB8:0:0::1", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("fe80::1%eth0", "fe80::1"),
        ],
    )
    def test_addresses_come_in_many_spellings(self, told: str, address: str) -> None:
        assert through(told) == address
        assert through(told, peer="2001:db8:feed::9") == address
        assert through(told, peer="::ffff:10.0.0.1") == address

    def test_the_standard_header_says_the_same(self) -> None:
        for told in (
            "for=198.51.100.1",
            "For=198.51.100.1;proto=https;by=10.0.0.1",
            'for=8.8.8.8, by=10.0.0.1;for="198.51.100.1:99"',
            'for=8.8.8.8, for=198.51.100.1, for="10.9.9.9"',
        ):
            assert PROXIES.of(a_scope("10.0.0.1", ("forwarded", told))) == "198.51.100.1", told
        assert PROXIES.of(a_scope("10.0.0.1", ("forwarded", 'for="[2001:db8::1]:7"'))) == "2001:db8::1"
        for told in ("for=unknown", "proto=https", "for=_secret", "x-for=1.2.3.4", ""):
            assert PROXIES.of(a_scope("10.0.0.1", ("forwarded", told))) == "10.0.0.1", told

    def test_where_the_two_headers_differ_neither_is_believed(self) -> None:
        both = (("x-forwarded-for", "8.8.8.8"), ("forwarded", "for=198.51.100.1"))
        assert PROXIES.of(a_scope("10.0.0.1", *both)) == "10.0.0.1"
        same = (("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.1"))
        assert PROXIES.of(a_scope("10.0.0.1", *same)) == "198.51.100.1"


class TestNeighbourhood:
    def test_is_a_64_of_ipv6_and_one_address_of_ipv4(self) -> None:
        assert neighbourhood("2001:db8:1:2:aaaa::1") == neighbourhood("2001:db8:1:2:bbbb::2")
        assert neighbourhood("2001:db8:1:2::1") != neighbourhood("2001:db8:1:3::1")
        assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
        assert neighbourhood("::ffff:192.0.2.1") == neighbourhood("192.0.2.1") == "192.0.2.1"
        assert neighbourhood("") == neighbourhood("nonsense") == "unknown"


def test_a_proxy_that_is_no_network_is_refused() -> None:
    for wrong in ("10.0.0.0/33", "proxy.example.com", "10.0.0.1/8"):
        with pytest.raises(SettingsError, match="TRUSTED_PROXIES: "):
            networks("TRUSTED_PROXIES", wrong)
