"""A token exchange by Authlib, as shipped: RFC 8414 discovery by its helpers,
then a session that fetches a token with an extension grant."""

from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

import oauth_env as env

with OAuth2Session(client_id="assay-e2e", token_endpoint_auth_method="none") as session:
    answer = session.request(
        "GET", get_well_known_url(env.ISSUER, external=True), withhold_token=True
    )
    answer.raise_for_status()
    metadata = AuthorizationServerMetadata(answer.json())
    metadata.validate()

    more = {"audience": env.AUDIENCE}
    if env.SCOPE:
        more["scope"] = env.SCOPE
    token = session.fetch_token(
        metadata["token_endpoint"],
        grant_type=env.TOKEN_EXCHANGE,
        subject_token=env.subject_token(),
        subject_token_type=env.SUBJECT_TOKEN_TYPE,
        **more,
    )
print(token["access_token"])
