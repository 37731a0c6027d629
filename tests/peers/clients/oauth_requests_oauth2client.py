"""A token exchange by requests_oauth2client, as shipped: discovery from the
issuer (OpenID Connect's document, and the key set it names), then the exchange."""

from requests_oauth2client import OAuth2Client

import oauth_env as env

client = OAuth2Client.from_discovery_endpoint(issuer=env.ISSUER, client_id="assay-e2e")
more = {"scope": env.SCOPE} if env.SCOPE else {}
token = client.token_exchange(
    subject_token=env.subject_token(),
    subject_token_type=env.SUBJECT_TOKEN_TYPE,
    audience=env.AUDIENCE,
    **more,
)
print(token.access_token)
