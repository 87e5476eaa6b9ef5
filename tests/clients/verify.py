"""What a resource server does with a bearer token, by PyJWT and nothing of ours."""

import jwt


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
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]},
    )
    assert claims["client_id"] == claims["sub"], claims
    return claims
