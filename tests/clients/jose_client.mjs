// jose verifies tokens by the remote JWKS, as a resource server on Node does.

import assert from "node:assert/strict";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { ISSUER, ALGORITHM, TOKEN } = process.env;
const answer = await fetch(`${ISSUER}/.well-known/oauth-authorization-server`);
const metadata = await answer.json();
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
const expected = {
  issuer: ISSUER,
  audience: ISSUER,
  typ: "at+jwt",
  algorithms: [ALGORITHM],
  requiredClaims: ["sub", "client_id", "exp", "iat", "jti", "scope"],
};

const { payload } = await jwtVerify(TOKEN, keys, expected);

const refused = (token, change, error) =>
  assert.rejects(jwtVerify(token, keys, { ...expected, ...change }), error);
await refused(TOKEN, { audience: "https://another.example" }, errors.JWTClaimValidationFailed);
await refused(TOKEN, { issuer: `${ISSUER}/` }, errors.JWTClaimValidationFailed);
await refused(TOKEN, { typ: "JWT" }, errors.JWTClaimValidationFailed);
const [header, claims, signature] = TOKEN.split(".");
const other = Buffer.from(claims, "base64url").toString().replace("read", "root");
const forged = [header, Buffer.from(other).toString("base64url"), signature].join(".");
await refused(forged, {}, errors.JWSSignatureVerificationFailed);

console.log(JSON.stringify(payload));
