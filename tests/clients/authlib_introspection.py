"""Authlib asks about a token (RFC 7662) and revokes it (RFC 7009)."""

import json
import os

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the loopback has no TLS

import requests
from authlib.integrations.requests_client import OAuth2Session

issuer = os.environ["ISSUER"]
metadata = requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=10).json()


def session(name: str) -> OAuth2Session:
    """The client whose id and secret are in the environment under that name."""
    return OAuth2Session(
        client_id=os.environ[f"{name}_ID"],
        client_secret=os.environ[f"{name}_SECRET"],
        token_endpoint_auth_method=os.environ["METHOD"],
        revocation_endpoint_auth_method=os.environ["METHOD"],
    )


def introspected(by: OAuth2Session, token: str) -> dict:
    """What the server says of a token."""
    answer = by.introspect_token(metadata["introspection_endpoint"], token=token, token_type_hint="access_token")
    assert answer.status_code == 200, answer.text
    return answer.json()


def revoked(by: OAuth2Session, token: str) -> None:
    """Revokes a token, which succeeds whether it was good or not."""
    answer = by.revoke_token(metadata["revocation_endpoint"], token=token, token_type_hint="access_token")
    assert answer.status_code == 200, answer.text


inactive = {"active": False}
agent, resource_server, stranger = session("CLIENT"), session("RESOURCE_SERVER"), session("STRANGER")
token = agent.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")["access_token"]

known = introspected(resource_server, token)
assert known["active"] is True, known
assert known["iss"] == issuer, known
assert known["sub"] == known["client_id"] == os.environ["CLIENT_ID"], known
assert known["exp"] > known["iat"], known
assert introspected(stranger, token) == inactive, "another organization's"
assert introspected(resource_server, f"{token}x") == inactive, "no token"

revoked(stranger, token)
assert introspected(resource_server, token)["active"] is True, "revoked by another's client"
revoked(agent, token)
assert introspected(resource_server, token) == inactive, "still active"
revoked(agent, token)
revoked(agent, "no token of anyone's")

token = agent.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")["access_token"]
assert introspected(resource_server, token)["active"] is True, "the next one"
print(json.dumps(known))
