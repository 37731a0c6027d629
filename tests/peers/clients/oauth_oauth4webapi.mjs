// A token exchange by oauth4webapi, as shipped: RFC 8414 discovery, then a
// generic token endpoint request. oauth_env.py says what the environment holds.
// `install` puts a copy beside the library, and that copy is what runs.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import * as oauth from 'oauth4webapi'

const {
  ASSAY_CA,
  ASSAY_ISSUER,
  SUBJECT_TOKEN_FILE,
  SUBJECT_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:jwt',
  AUDIENCE,
  SCOPE = '',
} = process.env

// Node takes an extra CA only at its start.
if (process.env.NODE_EXTRA_CA_CERTS !== ASSAY_CA) {
  const again = spawnSync(process.execPath, process.argv.slice(1), {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: ASSAY_CA },
    stdio: 'inherit',
  })
  process.exit(again.status ?? 1)
}

const issuer = new URL(ASSAY_ISSUER)
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' }),
)

const client = { client_id: 'assay-e2e' }
const parameters = new URLSearchParams({
  subject_token: readFileSync(SUBJECT_TOKEN_FILE, 'ascii').trim(),
  subject_token_type: SUBJECT_TOKEN_TYPE,
  audience: AUDIENCE,
})
if (SCOPE) parameters.set('scope', SCOPE)

const answer = await oauth.genericTokenEndpointRequest(
  server,
  client,
  oauth.None(),
  'urn:ietf:params:oauth:grant-type:token-exchange',
  parameters,
)
const token = await oauth.processGenericTokenEndpointResponse(server, client, answer)
console.log(token.access_token)
