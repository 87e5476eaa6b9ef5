"""What a resource server does with a bearer token, by PyJWT and by joserfc and nothing of ours."""

import jwt
import requests
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

REQUIRED = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]


def verify(token: str, issuer: str, jwks_uri: str, audience: str, algorithm: str) -> dict:
    """The claims of a token, after every check that RFC 9068 asks for; raises when one fails."""
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt", header
    key = jwt.PyJWKClient(jwks_uri).get_signing_key_from_jwt(token)
    claims = jwt.decode(
        token,
        key.key,
        algorithms=[algorithm],
        audience=audience,
        issuer=issuer,
        options={"require": REQUIRED},
    )
    assert claims["client_id"] == claims["sub"], claims
    assert claims == verify_again(token, issuer, jwks_uri, audience, algorithm)
    return claims


def verify_again(token: str, issuer: str, jwks_uri: str, audience: str, algorithm: str) -> dict:
    """The same by joserfc."""
    keys = KeySet.import_key_set(requests.get(jwks_uri, timeout=10).json())
    decoded = joserfc_jwt.decode(token, keys, algorithms=[algorithm])
    expected = {name: {"essential": True} for name in REQUIRED}
    expected["iss"]["value"] = issuer
    expected["aud"]["value"] = audience
    JWTClaimsRegistry(**expected).validate(decoded.claims)
    return decoded.claims
