"""What the OAuth clients are told, all of it by the environment.

    ASSAY_ISSUER         https URL, also the base of the metadata's address
    ASSAY_CA             PEM file with the CA of that server
    SUBJECT_TOKEN_FILE   the evidence
    SUBJECT_TOKEN_TYPE   its type, a JWT unless said otherwise
    AUDIENCE             the target
    SCOPE                blank, or a role, or narrower permissions
"""

import os

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

ISSUER = os.environ["ASSAY_ISSUER"]
CA = os.environ["ASSAY_CA"]
SUBJECT_TOKEN_FILE = os.environ["SUBJECT_TOKEN_FILE"]
SUBJECT_TOKEN_TYPE = os.environ.get(
    "SUBJECT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:jwt"
)
AUDIENCE = os.environ["AUDIENCE"]
SCOPE = os.environ.get("SCOPE", "")

# How a user of `requests` trusts a private CA. A session's own `verify` would
# lose against a bundle that the environment already names.
os.environ["REQUESTS_CA_BUNDLE"] = CA


def subject_token() -> str:
    with open(SUBJECT_TOKEN_FILE, encoding="ascii") as file:
        return file.read().strip()


def metadata(session) -> dict:
    """For a library that has no discovery of its own."""
    answer = session.get(ISSUER.rstrip("/") + "/.well-known/oauth-authorization-server")
    answer.raise_for_status()
    return answer.json()
