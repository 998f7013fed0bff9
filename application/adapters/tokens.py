"""Tokens: signed access tokens (JWT), and refresh tokens that are numbered within their session."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from application.accounts.people import SignedIn
from application.errors import AuthenticationError, TokenExpiredError
from application.settings import Settings, SettingsError
from domain.accounts.events import Caller, Role
from domain.kernel import AccountId

ISSUER = "tradelog"

PublicKey: TypeAlias = Ed25519PublicKey | RSAPublicKey
PrivateKey: TypeAlias = Ed25519PrivateKey | RSAPrivateKey

_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_SHORTEST_SECRET: Final = 32
_SHORTEST_RSA: Final = 2048
_NAMED: Final = 20


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token says: who is asking, and in which session."""

    caller: Caller
    session_id: UUID
    expires_at: datetime


class _Header(msgspec.Struct, frozen=True):
    kid: str | None = None


class _Verifying(msgspec.Struct, frozen=True):
    """A key that tokens are verified with, by the one algorithm that it is for."""

    kid: str
    algorithm: str
    key: str | PublicKey


class Tokens:
    """Access tokens are signed by the private key where there is one, else with the secret (contract README, 5).

    The token's ``kid`` names its key, and each key has one algorithm: what a token's header says of algorithms is
    not listened to. Keys and secrets besides the current ones verify and never sign. To change a key without signing
    anybody out: let every process know the new one as a further key, then let it sign, and take the old one away when
    its last token has expired. The secret goes on verifying beside a private key, so that introducing one is such a
    change too.

    A refresh token is session, number and MAC. The MAC makes a token of the past recognisable as such, so that no
    token has to be stored, nor its hash. It hangs on the secret, also where there is a private key.
    """

    def __init__(
        self,
        secret: str,
        *,
        lifetime: timedelta,
        further_secrets: Sequence[str] = (),
        private_key: PrivateKey | None = None,
        further_keys: Sequence[PublicKey] = (),
    ) -> None:
        secrets = [secret, *further_secrets]
        if any(len(each) < _SHORTEST_SECRET for each in secrets):
            raise ValueError("JWT_SECRET needs 256 bits: at least 32 characters")
        self._with_secrets = [_Verifying(_name_of_secret(each), "HS256", each) for each in secrets]
        public_keys = [private_key.public_key(), *further_keys] if private_key else [*further_keys]
        with_keys = {_thumbprint(key): key for key in public_keys}
        self._verifying = {each.kid: each for each in self._with_secrets} | {
            kid: _Verifying(kid, _algorithm(key), key) for kid, key in with_keys.items()
        }
        self._signing: str | PrivateKey = private_key or secret
        self._kid = next(iter(with_keys)) if private_key else self._with_secrets[0].kid
        self._refresh_keys = [
            hmac.digest(each.encode(), b"tradelog refresh tokens", hashlib.sha256) for each in secrets
        ]
        self.lifetime = lifetime
        self.jwks: Final = msgspec.json.encode(
            {
                "keys": [
                    {**_jwk(key), "use": "sig", "alg": _algorithm(key), "kid": kid}
                    for kid, key in with_keys.items()
                ]
            }
        )
        """The public keys, for those who want to verify our tokens themselves (RFC 7517)."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Tokens:
        """``SettingsError`` names the variable that holds no key."""
        signing = list(_private_keys("JWT_PRIVATE_KEY", settings.jwt_private_key))
        if len(signing) > 1:
            raise SettingsError("JWT_PRIVATE_KEY: holds more than one key; older ones go elsewhere")
        retired = _private_keys("JWT_PRIVATE_KEY_PREVIOUS", settings.jwt_private_key_previous)
        if any(len(each) < _SHORTEST_SECRET for each in settings.previous_secrets):
            raise SettingsError("JWT_SECRET_PREVIOUS: each secret has at least 32 characters")
        return cls(
            settings.jwt_secret,
            lifetime=settings.access_lifetime,
            further_secrets=settings.previous_secrets,
            private_key=signing[0] if signing else None,
            further_keys=[
                *(key.public_key() for key in retired),
                *_public_keys("JWT_PUBLIC_KEYS_PREVIOUS", settings.jwt_public_keys_previous),
            ],
        )

    def access(self, signed_in: SignedIn, now: datetime, lifetime: timedelta | None = None) -> str:
        account = signed_in.account
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": str(account.number),
            "uid": str(account.id),
            "email": account.email,
            "role": account.role.value,
            "roles": sorted(account.roles),
            "sid": str(signed_in.session.id),
            "iat": int(now.timestamp()),
            "exp": int((now + (lifetime or self.lifetime)).timestamp()),
            "jti": str(uuid4()),
        }
        if signed_in.session.impersonator is not None:
            claims["act"] = {"sub": str(signed_in.session.impersonator)}  # RFC 8693: who acts as the subject
        algorithm = self._verifying[self._kid].algorithm
        return jwt.encode(claims, self._signing, algorithm=algorithm, headers={"kid": self._kid})

    def read_access(self, token: str) -> AccessToken:
        """``TokenExpiredError`` when it was good once, ``AuthenticationError`` when it never was."""
        try:
            claims = self._claims(token)
            return AccessToken(
                caller=Caller(
                    account_id=AccountId(UUID(claims["uid"])),
                    number=int(claims["sub"]),
                    roles=frozenset(Role(role) for role in claims["roles"]),
                ),
                session_id=UUID(claims["sid"]),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except jwt.ExpiredSignatureError as expired:
            raise TokenExpiredError("Invalid or expired token") from expired
        except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, TypeError) as forged:
            raise AuthenticationError("Invalid or expired token") from forged

    def _claims(self, token: str) -> dict[str, Any]:
        head = token.partition(".")[0]
        kid = msgspec.json.decode(_unpadded(head), type=_Header).kid
        if kid is not None:
            if kid not in self._verifying:
                raise jwt.InvalidTokenError("a key that we do not have")
            return _decoded(token, self._verifying[kid])
        # Tokens named no key before there were several, and all of those are of a secret.
        *others, last = self._with_secrets
        for each in others:
            try:
                return _decoded(token, each)
            except jwt.InvalidSignatureError:
                continue
        return _decoded(token, last)

    def refresh(self, session_id: UUID, generation: int) -> str:
        named = session_id.bytes + generation.to_bytes(4)
        return _base64url(named + hmac.digest(self._refresh_keys[0], named, hashlib.sha256))

    def read_refresh(self, token: str) -> tuple[UUID, int]:
        """The session and the number of a refresh token of ours; whether it is still good is the session's to say."""
        try:
            raw = _unpadded(token)
        except ValueError as forged:
            raise AuthenticationError("Invalid or expired token") from forged
        named, mac = raw[:_NAMED], raw[_NAMED:]
        genuine = any(
            hmac.compare_digest(mac, hmac.digest(key, named, hashlib.sha256)) for key in self._refresh_keys
        )
        if len(named) < _NAMED or not genuine:
            raise AuthenticationError("Invalid or expired token")
        return UUID(bytes=named[:16]), int.from_bytes(named[16:])


def _decoded(token: str, by: _Verifying) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        by.key,
        algorithms=[by.algorithm],
        issuer=ISSUER,
        options={"require": ["sub", "uid", "sid", "exp", "iat", "roles"]},
    )
    return claims


def _name_of_secret(secret: str) -> str:
    """Tells secrets apart, and of the secret itself no more than any token's signature does."""
    return _base64url(hmac.digest(secret.encode(), b"tradelog key id", hashlib.sha256)[:9])


def _thumbprint(key: PublicKey) -> str:
    """RFC 7638: of the members that make the key, in the order of their names, and without a blank."""
    return _base64url(hashlib.sha256(msgspec.json.encode(_jwk(key), order="sorted")).digest())


def _jwk(key: PublicKey) -> dict[str, str]:
    """The members of RFC 7517 that make the key, and no others."""
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_bytes_raw())}
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _base64url(_big_endian(numbers.n)), "e": _base64url(_big_endian(numbers.e))}


def _algorithm(key: PublicKey) -> str:
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else "RS256"


def _private_keys(variable: str, text: str) -> Iterator[PrivateKey]:
    for block in _pem_blocks(variable, text):
        try:
            key = serialization.load_pem_private_key(block, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
            raise SettingsError(f"{variable}: is not a private key in PEM without a password") from broken
        if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
            raise SettingsError(f"{variable}: must be a key for Ed25519 or RSA")
        _require_size(variable, key.public_key())
        yield key


def _public_keys(variable: str, text: str) -> Iterator[PublicKey]:
    for block in _pem_blocks(variable, text):
        try:
            key = serialization.load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as broken:
            raise SettingsError(f"{variable}: is not a public key in PEM") from broken
        if not isinstance(key, Ed25519PublicKey | RSAPublicKey):
            raise SettingsError(f"{variable}: must be a key for Ed25519 or RSA")
        _require_size(variable, key)
        yield key


def _pem_blocks(variable: str, text: str) -> list[bytes]:
    r"""PEM blocks one after another; an environment that cannot hold line breaks has ``\n`` in their place."""
    pem = text.replace("\\n", "\n")
    blocks = [match[0].encode() for match in _PEM.finditer(pem)]
    if _PEM.sub("", pem).strip():
        raise SettingsError(f"{variable}: is not PEM")
    return blocks


def _require_size(variable: str, key: PublicKey) -> None:
    if isinstance(key, RSAPublicKey) and key.key_size < _SHORTEST_RSA:
        raise SettingsError(f"{variable}: an RSA key needs at least {_SHORTEST_RSA} bits")


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unpadded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as broken:
        raise ValueError("not base64url") from broken
