"""Authlib finds the server by its metadata and gets a token; PyJWT verifies it."""

import json
import os
import sys

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the loopback has no TLS

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from verify import verify

issuer = os.environ["ISSUER"]
document = requests.get(get_well_known_url(issuer, external=True), timeout=10).json()
metadata = AuthorizationServerMetadata(document)
metadata.validate()
assert metadata["issuer"] == issuer, metadata

session = OAuth2Session(
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ["CLIENT_SECRET"],
    token_endpoint_auth_method=os.environ["METHOD"],
    scope="resume:read",
)
token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
assert token["token_type"] == "Bearer", token
claims = verify(token["access_token"], issuer, metadata["jwks_uri"], issuer, os.environ["ALGORITHM"])
print(json.dumps(claims))
