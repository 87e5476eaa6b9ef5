"""Authlib finds the server by its metadata and gets a token; PyJWT and joserfc verify it."""

import json
import os
import sys
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the loopback has no TLS

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc.jwk import import_key

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from verify import verify

issuer = os.environ["ISSUER"]
method = os.environ["METHOD"]
document = requests.get(get_well_known_url(issuer, external=True), timeout=10).json()
metadata = AuthorizationServerMetadata(document)
metadata.validate()
assert metadata["issuer"] == issuer, metadata
assert method in metadata["token_endpoint_auth_methods_supported"], metadata


def session() -> OAuth2Session:
    """A client that authenticates by METHOD."""
    if method != "private_key_jwt":
        secret = os.environ["CLIENT_SECRET"]
    else:
        secret = import_key(json.loads(os.environ["PRIVATE_KEY"]))
    session = OAuth2Session(
        client_id=os.environ["CLIENT_ID"],
        client_secret=secret,
        token_endpoint_auth_method=method,
        scope="resume:read",
    )
    if method == "private_key_jwt":
        algorithm = os.environ["KEY_ALGORITHM"]
        assert algorithm in metadata["token_endpoint_auth_signing_alg_values_supported"], metadata
        # Authlib's own choice is the token endpoint, and an hour: both are more than is safe.
        lifetime = {"exp": int(time.time()) + 60}
        session.register_client_auth_method(PrivateKeyJWT(issuer, alg=algorithm, claims=lifetime))
    return session


# A second one is another assertion, and as good.
for _ in range(2):
    token = session().fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    assert token["token_type"] == "Bearer", token
    claims = verify(token["access_token"], issuer, metadata["jwks_uri"], issuer, os.environ["ALGORITHM"])
print(json.dumps(claims))
