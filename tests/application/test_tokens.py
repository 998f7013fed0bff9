"""Which tokens are believed, and that changing keys signs nobody out."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from application.accounts.people import SignedIn
from application.adapters.tokens import Tokens
from application.errors import AuthenticationError, TokenExpiredError
from application.settings import Settings, SettingsError
from domain.accounts.account import Account
from domain.accounts.events import AccountRegistered, Role, RoleGranted, SessionStarted
from domain.accounts.session import Session
from domain.kernel import AccountId, stream_id
from tests.issuer import private_pem, public_pem

OLD, NEW = "the secret of last year that is long", "the secret of this year that is long"
EDWARDS = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def tokens(**settings: str) -> Tokens:
    environment = {"DATABASE_URL": "x", "JWT_SECRET": NEW, "TRADELOG_MASTER_KEY": "x", **settings}
    return Tokens.from_settings(Settings.read(environment))


def signed_in() -> SignedIn:
    account_id = AccountId(stream_id("account", 7))
    now = datetime.now(UTC)
    registered = AccountRegistered(
        account_id=account_id, number=7, email="emily@example.com", username="emily", password_hash="hash"
    )
    account = Account.evolve(
        Account.evolve(None, registered), RoleGranted(account_id=account_id, role=Role.SELLER)
    )
    started = SessionStarted(
        session_id=uuid4(), account_id=account_id, started_at=now, expires_at=now + timedelta(days=7)
    )
    return SignedIn(account=account, session=Session.evolve(None, started))


def access(by: Tokens, **options: Any) -> str:
    return by.access(signed_in(), datetime.now(UTC), **options)


def header(token: str) -> dict[str, Any]:
    return jwt.get_unverified_header(token)


def as_before_there_were_key_ids(token: str, secret: str) -> str:
    return jwt.encode(jwt.decode(token, options={"verify_signature": False}), secret, algorithm="HS256")


class TestAnAccessToken:
    @pytest.mark.parametrize(
        ("settings", "algorithm"),
        [
            ({}, "HS256"),
            ({"JWT_PRIVATE_KEY": private_pem(EDWARDS)}, "EdDSA"),
            ({"JWT_PRIVATE_KEY": private_pem(RSA).replace("\n", "\\n")}, "RS256"),
        ],
    )
    def test_says_who_is_asking_and_names_its_key(self, settings: dict[str, str], algorithm: str) -> None:
        who, now, ours = signed_in(), datetime.now(UTC).replace(microsecond=0), tokens(**settings)
        token = ours.access(who, now)
        read = ours.read_access(token)
        assert read.caller.account_id == who.account.id
        assert (read.caller.number, read.caller.roles) == (7, frozenset({Role.USER, Role.SELLER}))
        assert (read.session_id, read.expires_at) == (who.session.id, now + timedelta(minutes=15))
        assert set(header(token)) == {"alg", "typ", "kid"}
        assert header(token)["alg"] == algorithm
        claims = jwt.decode(token, options={"verify_signature": False})
        assert set(claims) == {
            "iss", "sub", "uid", "email", "role", "roles", "sid", "iat", "exp", "jti",
        }  # fmt: skip
        assert (claims["sub"], claims["uid"]) == ("7", str(who.account.id))

    def test_lives_as_long_as_was_asked_for(self) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        token = tokens().access(signed_in(), now, timedelta(minutes=2))
        assert tokens().read_access(token).expires_at == now + timedelta(minutes=2)

    @pytest.mark.parametrize("key", ["", private_pem(EDWARDS), private_pem(RSA)])
    def test_expires(self, key: str) -> None:
        ours = tokens(JWT_PRIVATE_KEY=key)
        long_ago = ours.access(signed_in(), datetime.now(UTC) - timedelta(hours=1))
        with pytest.raises(TokenExpiredError):
            ours.read_access(long_ago)

    def test_the_name_of_a_secret_tells_nothing_of_it(self) -> None:
        kid = header(access(tokens()))["kid"]
        raw = NEW.encode()
        plain = {
            base64.urlsafe_b64encode(digest(part).digest()).decode()[: len(kid)]
            for digest in (hashlib.sha256, hashlib.sha1, hashlib.md5)
            for part in (raw, raw[::-1])
        }
        assert kid not in plain
        assert len(kid) == 12
        assert header(access(tokens()))["kid"] == kid


class TestChangingKeys:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"JWT_SECRET": OLD}, {"JWT_SECRET_PREVIOUS": OLD}),
            ({"JWT_SECRET": OLD}, {"JWT_SECRET_PREVIOUS": f"{'z' * 32}, {OLD}"}),
            ({}, {"JWT_PRIVATE_KEY": private_pem(EDWARDS)}),
            (
                {"JWT_SECRET": OLD},
                {"JWT_SECRET_PREVIOUS": OLD, "JWT_PRIVATE_KEY": private_pem(EDWARDS)},
            ),
            (
                {"JWT_PRIVATE_KEY": private_pem(RSA)},
                {"JWT_PRIVATE_KEY": private_pem(EDWARDS), "JWT_PRIVATE_KEY_PREVIOUS": private_pem(RSA)},
            ),
            (
                {"JWT_PRIVATE_KEY": private_pem(EDWARDS)},
                {
                    "JWT_PRIVATE_KEY": private_pem(RSA),
                    "JWT_PUBLIC_KEYS_PREVIOUS": public_pem(ed25519.Ed25519PrivateKey.generate())
                    + public_pem(EDWARDS),
                },
            ),
            ({"JWT_PRIVATE_KEY": private_pem(EDWARDS)}, {"JWT_PUBLIC_KEYS_PREVIOUS": public_pem(EDWARDS)}),
        ],
    )
    def test_signs_nobody_out(self, before: dict[str, str], after: dict[str, str]) -> None:
        earlier, later = tokens(**before), tokens(**after)
        token = access(earlier)
        assert later.read_access(token) == earlier.read_access(token)
        session = uuid4()
        assert later.read_refresh(earlier.refresh(session, 3)) == (session, 3)
        assert header(access(later))["kid"] != header(token)["kid"]

    def test_a_key_that_is_to_come_is_known_before_it_signs(self) -> None:
        """So that processes may be restarted one after another."""
        waiting = tokens(JWT_PUBLIC_KEYS_PREVIOUS=public_pem(EDWARDS))
        signing = tokens(JWT_PRIVATE_KEY=private_pem(EDWARDS))
        assert header(access(waiting))["alg"] == "HS256"
        token = access(signing)
        assert waiting.read_access(token) == signing.read_access(token)

    def test_tokens_of_before_there_were_key_ids_are_good(self) -> None:
        later = tokens(JWT_SECRET_PREVIOUS=OLD, JWT_PRIVATE_KEY=private_pem(EDWARDS))
        for secret in (NEW, OLD):
            named = access(tokens(JWT_SECRET=secret))
            nameless = as_before_there_were_key_ids(named, secret)
            assert "kid" not in header(nameless)
            assert later.read_access(nameless) == later.read_access(named)
        claims = jwt.decode(access(later), options={"verify_signature": False}) | {"exp": 1}
        with pytest.raises(TokenExpiredError):
            later.read_access(jwt.encode(claims, OLD, algorithm="HS256"))

    def test_a_key_that_was_taken_away_is_not_believed(self) -> None:
        old = tokens(JWT_SECRET=OLD)
        for token in (access(old), as_before_there_were_key_ids(access(old), OLD)):
            with pytest.raises(AuthenticationError):
                tokens().read_access(token)
        with pytest.raises(AuthenticationError):
            tokens().read_access(access(tokens(JWT_PRIVATE_KEY=private_pem(EDWARDS))))
        with pytest.raises(AuthenticationError):
            tokens().read_refresh(old.refresh(uuid4(), 1))


class TestForging:
    OURS = tokens(
        JWT_PRIVATE_KEY=private_pem(RSA),
        JWT_SECRET_PREVIOUS=OLD,
        JWT_PUBLIC_KEYS_PREVIOUS=public_pem(EDWARDS),
    )

    def test_a_key_is_good_for_one_algorithm_only(self) -> None:
        good = access(self.OURS)
        claims = jwt.decode(good, options={"verify_signature": False})
        kids = {key["alg"]: key["kid"] for key in json.loads(self.OURS.jwks)["keys"]}
        secret_kid = header(access(tokens()))["kid"]
        public = public_pem(RSA).encode()
        edwards = EDWARDS.public_key().public_bytes_raw()
        forged = [
            jwt.encode(claims, "", algorithm="none"),
            jwt.encode(claims, "", algorithm="none", headers={"kid": kids["RS256"]}),
            _hs256(claims, public, kids["RS256"]),
            _hs256(claims, public, None),
            _hs256(claims, edwards, kids["EdDSA"]),
            _hs256(claims, edwards, secret_kid),
            jwt.encode(claims, NEW, algorithm="HS256", headers={"kid": kids["RS256"]}),
            jwt.encode(claims, NEW * 2, algorithm="HS512", headers={"kid": secret_kid}),
            jwt.encode(claims, NEW * 2, algorithm="HS512"),
            jwt.encode(claims, RSA, algorithm="RS512", headers={"kid": kids["RS256"]}),
            jwt.encode(claims, RSA, algorithm="RS256"),
            jwt.encode(claims, RSA, algorithm="RS256", headers={"kid": secret_kid}),
            jwt.encode(claims, RSA, algorithm="RS256", headers={"kid": "unknown"}),
            jwt.encode(claims, EDWARDS, algorithm="EdDSA", headers={"kid": kids["RS256"]}),
        ]
        for token in forged:
            with pytest.raises(AuthenticationError):
                self.OURS.read_access(token)
        assert self.OURS.read_access(good).caller.number == 7

    @pytest.mark.parametrize(
        "changed",
        [{"iss": "other"}, {"iss": None}, {"sub": None}, {"uid": "7"}, {"roles": ["king"]}, {"sid": None}],
    )
    def test_claims_that_are_not_ours_are_refused(self, changed: dict[str, Any]) -> None:
        claims = jwt.decode(access(self.OURS), options={"verify_signature": False}) | changed
        claims = {name: value for name, value in claims.items() if value is not None}
        with pytest.raises(AuthenticationError):
            self.OURS.read_access(jwt.encode(claims, NEW, algorithm="HS256"))

    @given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode() + ".e30.AA"))
    def test_nothing_else_is_a_token(self, text: str) -> None:
        with pytest.raises(AuthenticationError):
            self.OURS.read_access(text)
        with pytest.raises(AuthenticationError):
            self.OURS.read_refresh(text)

    @given(st.uuids(), st.integers(0, 2**32 - 1), st.integers(0, 52 * 8 - 1))
    def test_a_refresh_token_with_a_bit_flipped_is_none(self, session: UUID, number: int, bit: int) -> None:
        token = self.OURS.refresh(session, number)
        assert self.OURS.read_refresh(token) == (session, number)
        raw = bytearray(base64.urlsafe_b64decode(token + "=="))
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            self.OURS.read_refresh(base64.urlsafe_b64encode(raw).decode().rstrip("="))


def _hs256(claims: dict[str, Any], secret: bytes, kid: str | None) -> str:
    """PyJWT refuses to sign with what looks like a public key; who forges does not."""
    import hmac

    def base64url(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    head = {"alg": "HS256", "typ": "JWT", **({"kid": kid} if kid else {})}
    signed = f"{base64url(json.dumps(head).encode())}.{base64url(json.dumps(claims).encode())}"
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"


class TestPublicKeys:
    def test_there_are_none_of_secrets(self) -> None:
        assert tokens(JWT_SECRET_PREVIOUS=OLD).jwks == b'{"keys":[]}'

    def test_verify_what_we_sign_by_the_means_of_anybody(self) -> None:
        ours = tokens(JWT_PRIVATE_KEY=private_pem(EDWARDS), JWT_PRIVATE_KEY_PREVIOUS=private_pem(RSA))
        earlier = tokens(JWT_PRIVATE_KEY=private_pem(RSA))
        known = jwt.PyJWKSet.from_json(ours.jwks.decode())
        for token in (access(ours), access(earlier)):
            key = known[header(token)["kid"]]
            assert jwt.decode(token, key, algorithms=["EdDSA", "RS256"], issuer="tradelog")["sub"] == "7"
        assert {name for key in json.loads(ours.jwks)["keys"] for name in key} == {
            "kty", "crv", "x", "n", "e", "use", "alg", "kid",
        }  # fmt: skip

    def test_are_named_by_their_thumbprint(self) -> None:
        """The example of RFC 8037, appendix A.3."""
        private = ed25519.Ed25519PrivateKey.from_private_bytes(
            base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
        )
        (key,) = json.loads(tokens(JWT_PRIVATE_KEY=private_pem(private)).jwks)["keys"]
        assert key["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        assert key["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JWT_PRIVATE_KEY", "no key"),
        ("JWT_PRIVATE_KEY", public_pem(EDWARDS)),
        ("JWT_PRIVATE_KEY", private_pem(EDWARDS) + private_pem(RSA)),
        ("JWT_PRIVATE_KEY", private_pem(ec.generate_private_key(ec.SECP256R1()))),
        ("JWT_PRIVATE_KEY", private_pem(EDWARDS)[:80]),
        (
            "JWT_PRIVATE_KEY",
            EDWARDS.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode(),
        ),
        ("JWT_PRIVATE_KEY_PREVIOUS", "no key"),
        ("JWT_PUBLIC_KEYS_PREVIOUS", private_pem(EDWARDS)),
        ("JWT_SECRET_PREVIOUS", "short"),
    ],
)
def test_what_is_no_key_is_told_at_the_start(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: "):
        tokens(**{variable: value})
