"""requests-oauthlib gets a token, and a second one when the first is gone."""

import json
import os
import sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the loopback has no TLS

import requests
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from verify import verify

issuer = os.environ["ISSUER"]
client_id = os.environ["CLIENT_ID"]
client_secret = os.environ["CLIENT_SECRET"]
metadata = requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=10).json()

session = OAuth2Session(client=BackendApplicationClient(client_id=client_id, scope=["resume:read"]))
basic = session.fetch_token(metadata["token_endpoint"], client_id=client_id, client_secret=client_secret)
body = session.fetch_token(
    metadata["token_endpoint"],
    client_id=client_id,
    client_secret=client_secret,
    include_client_id=True,
    auth=None,
)
assert basic["access_token"] != body["access_token"]
for token in (basic, body):
    claims = verify(token["access_token"], issuer, metadata["jwks_uri"], issuer, os.environ["ALGORITHM"])
print(json.dumps(claims))
