"""joserfc makes a key of an agent's own: both halves as JWKs."""

import json
import sys

from joserfc.jwk import generate_key

KINDS = {"ES256": ("EC", "P-256"), "RS256": ("RSA", 2048), "EdDSA": ("OKP", "Ed25519")}

key = generate_key(*KINDS[sys.argv[1]])
print(json.dumps({"private": key.as_dict(private=True), "public": key.as_dict(private=False)}))
