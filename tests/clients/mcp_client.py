"""The MCP SDK's client-credentials providers get a token for a protected resource.

The resource is a server here that knows nothing of us: it names its authorization server
(RFC 9728) and verifies bearer tokens with PyJWT. The SDK does the rest: it is refused, discovers,
asks for a token with a `resource`, and tries again.
"""

import asyncio
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import jwt
from joserfc.jwk import import_key
from mcp.client.auth import OAuthClientProvider, OAuthFlowError, OAuthTokenError
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from verify import verify

ISSUER = os.environ["ISSUER"]
PORT = int(os.environ["RESOURCE_PORT"])
BASE = f"http://127.0.0.1:{PORT}"
RESOURCE = f"{BASE}/mcp"
SCOPES = os.environ.get("RESOURCE_SCOPES", "resume:read")
METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"


class ProtectedResource(BaseHTTPRequestHandler):
    """Answers 401 and says where tokens come from, or the claims of a good token."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == METADATA_PATH:
            metadata = {"resource": RESOURCE, "authorization_servers": [ISSUER]}
            if SCOPES:
                metadata["scopes_supported"] = SCOPES.split()
            self.answer(200, metadata)
        elif self.path == "/mcp":
            self.protected()
        else:
            self.answer(404, {})

    def protected(self) -> None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        try:
            assert scheme == "Bearer"
            claims = verify(token, ISSUER, f"{ISSUER}/.well-known/jwks.json", RESOURCE, os.environ["ALGORITHM"])
        except (AssertionError, jwt.PyJWTError) as error:
            challenge = f'Bearer resource_metadata="{BASE}{METADATA_PATH}"'
            self.answer(401, {"error": repr(error)}, {"WWW-Authenticate": challenge})
        else:
            self.answer(200, claims)

    def answer(self, status: int, body: dict, headers: dict | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Storage:
    """Keeps tokens for as long as the process lives."""

    def __init__(self) -> None:
        self.tokens = None
        self.client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens) -> None:
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info) -> None:
        self.client_info = client_info


def provider() -> OAuthClientProvider:
    """The SDK's provider for METHOD."""
    client_id, method = os.environ["CLIENT_ID"], os.environ["METHOD"]
    common = {"server_url": RESOURCE, "storage": Storage(), "client_id": client_id, "issuer": ISSUER}
    if method != "private_key_jwt":
        secret = os.environ["CLIENT_SECRET"]
        return ClientCredentialsOAuthProvider(client_secret=secret, token_endpoint_auth_method=method, **common)
    signing = SignedJWTParameters(
        issuer=client_id,
        subject=client_id,
        signing_key=import_key(json.loads(os.environ["PRIVATE_KEY"])).as_pem(private=True).decode(),
        signing_algorithm=os.environ["KEY_ALGORITHM"],
    )
    return PrivateKeyJWTOAuthProvider(assertion_provider=signing.create_assertion_provider(), **common)


async def main() -> None:
    expected = os.environ.get("EXPECT")
    async with httpx2.AsyncClient(auth=provider(), timeout=20) as client:
        try:
            response = await client.get(RESOURCE)
        except (OAuthFlowError, OAuthTokenError) as error:
            assert expected and expected in str(error), error
            print(json.dumps({"error": str(error)}))
            return
    assert response.status_code == 200, response.text
    assert expected is None, "a token was given out"
    print(response.text)


server = ThreadingHTTPServer(("127.0.0.1", PORT), ProtectedResource)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main())
server.shutdown()
