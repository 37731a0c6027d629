"""A token exchange by google-auth, as shipped: the "external account" (workload
identity federation) credentials, pointed at Assay. The library knows no
discovery, so the token endpoint is read from the metadata first."""

import requests
from google.auth import identity_pool
from google.auth.transport.requests import Request

import oauth_env as env

session = requests.Session()
credentials = identity_pool.Credentials(
    audience=env.AUDIENCE,
    subject_token_type=env.SUBJECT_TOKEN_TYPE,
    token_url=env.metadata(session)["token_endpoint"],
    credential_source={"file": env.SUBJECT_TOKEN_FILE},
    scopes=env.SCOPE.split() or None,
)
credentials.refresh(Request(session))
print(credentials.token)
