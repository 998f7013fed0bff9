"""Google and Apple as far as we use them: an OpenID Connect issuer that signs real tokens, in a thread of the tests.

What it says of whom is set on the object. Tests that open no socket speak to ``handle`` by ``httpx.MockTransport``.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

WEB = "web.example"
APP = "app.example"
GOOGLE_SECRET = "what Google gave us"
TEAM, KEY_ID = "TEAM123456", "KEY1234567"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def private_pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def public_pem(key: Any) -> str:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


@dataclass
class Grant:
    """A code that was given out: for what it was asked, and who was signed in."""

    asked: dict[str, str]
    claims: dict[str, Any]


@dataclass
class Issuer:
    url: str = "https://issuer.example"
    algorithm: str = "RS256"
    client_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    """The one whose public half the client left with Apple."""
    person: dict[str, Any] = field(default_factory=dict)
    """Claims of whoever signs in next."""
    down: bool = False
    requests: list[str] = field(default_factory=list)
    grants: dict[str, Grant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self, algorithm: str = "") -> None:
        """From now on there is another key, and the one before is not known any more."""
        self.algorithm = algorithm or self.algorithm
        self.kid = secrets.token_hex(8)
        self.key: PrivateKey = (
            ec.generate_private_key(ec.SECP256R1())
            if self.algorithm == "ES256"
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    def sign_in(self, **claims: Any) -> dict[str, Any]:
        """Somebody new sits down before the browser."""
        unique = secrets.token_hex(8)
        self.person = {"sub": unique, "email": f"{unique}@example.com", "email_verified": True, **claims}
        return dict(self.person)

    def id_token(self, **changed: Any) -> str:
        """A token about whoever is signed in; ``kid``, ``key`` and ``alg`` are of its header and its signature."""
        headers = {"kid": changed.pop("kid", self.kid)}
        key, algorithm = changed.pop("key", self.key), changed.pop("alg", self.algorithm)
        now = int(time.time())
        claims = {"iss": self.url, "aud": WEB, "iat": now, "exp": now + 600, **self.person, **changed}
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.path)
        if self.down:
            return httpx.Response(503)
        match request.method, request.url.path:
            case "GET", "/.well-known/openid-configuration":
                return httpx.Response(200, json=self._discovery())
            case "GET", "/keys":
                return httpx.Response(
                    200, json={"keys": [self._jwk(), {"kty": "oct", "kid": "x", "k": "AA"}]}
                )
            case "GET", "/authorize":
                return self._authorize(dict(request.url.params))
            case "POST", "/token":
                return self._exchange(dict(parse_qsl(request.content.decode())))
        return httpx.Response(404)

    def _discovery(self) -> dict[str, str]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }

    def _jwk(self) -> dict[str, Any]:
        public = self.key.public_key()
        jwk = (
            ECAlgorithm.to_jwk(public, as_dict=True)
            if isinstance(public, ec.EllipticCurvePublicKey)
            else RSAAlgorithm.to_jwk(public, as_dict=True)
        )
        return {**jwk, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def _authorize(self, asked: dict[str, str]) -> httpx.Response:
        code = secrets.token_hex(8)
        self.grants[code] = Grant(asked, dict(self.person))
        answered = {"code": code, "state": asked["state"]}
        if asked.get("response_mode") == "form_post":
            inputs = "".join(
                f'<input name="{name}" value="{html.escape(value)}">' for name, value in answered.items()
            )
            return httpx.Response(
                200, html=f'<form method="post" action="{asked["redirect_uri"]}">{inputs}</form>'
            )
        return httpx.Response(302, headers={"Location": f"{asked['redirect_uri']}?{urlencode(answered)}"})

    def _exchange(self, form: dict[str, str]) -> httpx.Response:
        grant = self.grants.pop(form["code"], None)
        if grant is None:
            return httpx.Response(400, json={"error": "invalid_grant"})
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        proved = (
            grant.asked["code_challenge_method"] == "S256"
            and challenge.decode().rstrip("=") == grant.asked["code_challenge"]
            and form["grant_type"] == "authorization_code"
            and form["redirect_uri"] == grant.asked["redirect_uri"]
            and form["client_id"] == grant.asked["client_id"] == WEB
        )
        if not proved:
            return httpx.Response(400, json={"error": "invalid_grant"})
        if not self._is_client(form["client_secret"]):
            return httpx.Response(401, json={"error": "invalid_client"})
        about = {"nonce": grant.asked["nonce"], **grant.claims}
        return httpx.Response(200, json={"id_token": self.id_token(**about), "token_type": "Bearer"})

    def _is_client(self, secret: str) -> bool:
        if secret == GOOGLE_SECRET:
            return True
        try:
            claims = jwt.decode(
                secret, self.client_key.public_key(), algorithms=["ES256"], audience=self.url, issuer=TEAM
            )
        except jwt.InvalidTokenError:
            return False
        kid = jwt.get_unverified_header(secret)["kid"]
        return bool(claims["sub"] == WEB and kid == KEY_ID and claims["exp"] - claims["iat"] <= 15_777_000)

    def environment(self) -> dict[str, str]:
        """What points our API here, for both providers."""
        return {
            "GOOGLE_CLIENT_ID": WEB,
            "GOOGLE_CLIENT_IDS": APP,
            "GOOGLE_CLIENT_SECRET": GOOGLE_SECRET,
            "GOOGLE_ISSUER": self.url,
            "APPLE_CLIENT_ID": WEB,
            "APPLE_CLIENT_IDS": APP,
            "APPLE_TEAM_ID": TEAM,
            "APPLE_KEY_ID": KEY_ID,
            "APPLE_PRIVATE_KEY": private_pem(self.client_key).replace("\n", "\\n"),
            "APPLE_ISSUER": self.url,
        }

    @contextmanager
    def listening(self) -> Iterator[Issuer]:
        """On a port of its own."""
        handle = self.handle

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                url = f"http://{self.headers['Host']}{self.path}"
                response = handle(httpx.Request(self.command, url, content=content))
                self.send_response(response.status_code)
                for name, value in response.headers.items():
                    if name != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
            )
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def posted(page: str) -> tuple[str, dict[str, str]]:
    """Where the form on a page goes, and what is in it."""
    inputs = re.findall(r'<input name="(\w+)" value="([^"]*)">', page)
    (action,) = re.findall(r'action="([^"]*)"', page)
    return action, {name: html.unescape(value) for name, value in inputs}
