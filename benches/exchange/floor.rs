//! The crypto floor: the two signature operations alone, on held keys.

use std::time::Duration;

use assay::{
    base::clock::{Clock as _, SystemClock},
    jose::{Algorithm, Compact, KeySet, KeyUse, LocalKey, Lookup, Signer, VerifyKey, encode},
};

/// A signing key and the verifying key that belongs to it.
pub(crate) struct Pair {
    pub(crate) signer: LocalKey,
    keys: KeySet,
}

impl Pair {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self::of(LocalKey::generate(algorithm).expect("a key"))
    }

    pub(crate) fn of(signer: LocalKey) -> Self {
        let algorithm = signer.algorithm();
        let set = format!(r#"{{"keys":[{}]}}"#, signer.public_jwk());
        let (keys, _) =
            KeySet::parse(set.as_bytes(), KeyUse::Signature, &[algorithm]).expect("a key set");
        Self { signer, keys }
    }

    pub(crate) fn verifying(&self) -> &VerifyKey {
        match self.keys.lookup(Some(self.signer.kid())) {
            Lookup::Found(key) => key,
            _ => unreachable!("the set holds the key"),
        }
    }

    /// The key set as an issuer publishes it.
    pub(crate) fn jwks(&self) -> String {
        format!(r#"{{"keys":[{}]}}"#, self.signer.public_jwk())
    }

    /// A token of a CI system, about a kilobyte, with its own `jti`.
    pub(crate) fn token(&self, issuer: &str, audience: &str, number: usize, now: i64) -> String {
        let claims = serde_json::json!({
            "iss": issuer, "aud": audience, "sub": "project:payments:environment:production",
            "jti": format!("{number:032x}"), "iat": now, "nbf": now, "exp": now + 3600,
            "project_id": "4711", "environment": "production", "branch": "main",
            "run_id": "1234567890", "run_attempt": "1", "actor": "octocat", "actor_id": "583231",
            "workflow_ref": "acme/payments/.github/workflows/deploy.yml@refs/heads/main",
            "repository": "acme/payments", "repository_id": "987654321",
            "repository_owner": "acme", "repository_owner_id": "1234567",
            "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
            "sha": "0123456789abcdef0123456789abcdef01234567", "event_name": "push",
            "runner_environment": "github-hosted", "repository_visibility": "private",
        });
        encode(&self.signer, "JWT", claims.to_string().as_bytes()).expect("a signature")
    }
}

/// Verify and sign, operations a second on this core.
pub(crate) fn measure(incoming: &Pair, outgoing: &Pair, length: Duration) -> f64 {
    let clock = SystemClock::new();
    let token = incoming.token(
        "https://issuer.example",
        "https://assay.example",
        0,
        1_790_000_000,
    );
    let (input, signature) = token.rsplit_once('.').expect("a compact token");
    let signature = base64_url(signature);
    let key = incoming.verifying();
    let algorithm = incoming.signer.algorithm();
    let mut out = Vec::with_capacity(512);
    let mut count = 0u64;
    while clock.uptime() < length {
        for _ in 0..32 {
            assert!(
                key.verify(algorithm, input.as_bytes(), &signature).is_ok(),
                "the signature is good"
            );
            out.clear();
            outgoing
                .signer
                .sign(input.as_bytes(), &mut out)
                .expect("a signature");
            count += 1;
        }
    }
    count as f64 / clock.uptime().as_secs_f64()
}

fn base64_url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .expect("base64url")
}

/// Parses, verifies and signs: what the bare server does for one request.
pub(crate) fn exchange(token: &str, incoming: &Pair, outgoing: &Pair) -> Option<String> {
    let verified = Compact::parse(token, 16 * 1024)
        .ok()?
        .verify(incoming.verifying())
        .ok()?;
    let claims = serde_json::json!({
        "iss": "https://assay.example",
        "sub": verified.claims().get("sub")?.as_text()?,
        "aud": "temporal", "iat": 1_790_000_000, "exp": 1_790_000_600,
        "permissions": ["payments:write"],
    });
    encode(&outgoing.signer, "at+jwt", claims.to_string().as_bytes()).ok()
}
