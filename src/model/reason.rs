//! Every way in which Assay refuses, by a stable name.
//!
//! A reason is what callers branch on, what audit records and metrics carry,
//! and what has a page under `docs/reasons/`. Its description is fixed ASCII
//! text: nothing that a caller sent is ever echoed in it (RFC 6749 section 5.2
//! allows only a few characters there, and an echo is an oracle).

use std::{fmt, str::FromStr};

/// The `error` of an OAuth answer, with its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OAuthError {
    /// 400 `invalid_request`: the request itself.
    InvalidRequest,
    /// 400: the evidence, or the decision about it. `invalid_request` to a token
    /// exchange (RFC 8693 section 2.2.2), `invalid_grant` to an assertion grant
    /// (RFC 7521 section 4.1.1).
    InvalidEvidence,
    /// 401 `invalid_client`.
    InvalidClient,
    /// 400 `invalid_target` (RFC 8693 section 2.2.2, RFC 8707).
    InvalidTarget,
    /// 400 `invalid_scope`.
    InvalidScope,
    /// 400 `unsupported_grant_type`.
    UnsupportedGrantType,
    /// 404 `invalid_request`.
    NotFound,
    /// 405 `invalid_request`.
    MethodNotAllowed,
    /// 408 `invalid_request`.
    Timeout,
    /// 413 `invalid_request`.
    TooLarge,
    /// 415 `invalid_request`.
    UnsupportedMediaType,
    /// 429 `temporarily_unavailable` with `Retry-After`.
    TooManyRequests,
    /// 500 `server_error`.
    ServerError,
    /// 503 `temporarily_unavailable` with `Retry-After`.
    Unavailable,
}

impl OAuthError {
    /// The value of `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest
            | Self::InvalidEvidence
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Timeout
            | Self::TooLarge
            | Self::UnsupportedMediaType => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::ServerError => "server_error",
            Self::TooManyRequests | Self::Unavailable => "temporarily_unavailable",
        }
    }

    /// The HTTP status code.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest
            | Self::InvalidEvidence
            | Self::InvalidTarget
            | Self::InvalidScope
            | Self::UnsupportedGrantType => 400,
            Self::InvalidClient => 401,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::TooManyRequests => 429,
            Self::ServerError => 500,
            Self::Unavailable => 503,
        }
    }

    /// Whether the same request may succeed later without a change.
    pub const fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::TooManyRequests | Self::ServerError | Self::Unavailable | Self::Timeout
        )
    }
}

macro_rules! reasons {
    ($($variant:ident $code:literal $class:ident $text:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {$(
            #[doc = $text]
            $variant,
        )*}

        impl Reason {
            /// Every reason, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable UPPER_SNAKE name.
            pub const fn code(self) -> &'static str {
                match self {$(Self::$variant => $code,)*}
            }

            /// The OAuth error and status that it is answered with.
            pub const fn class(self) -> OAuthError {
                match self {$(Self::$variant => OAuthError::$class,)*}
            }

            /// The fixed `error_description`.
            pub const fn description(self) -> &'static str {
                match self {$(Self::$variant => $text,)*}
            }

            /// The page that explains it: what it means, what to do.
            pub const fn page(self) -> &'static str {
                match self {$(
                    Self::$variant => include_str!(concat!("../../docs/reasons/", $code, ".md")),
                )*}
            }
        }
    };
}

reasons! {
    // The request.
    RequestMalformed "REQUEST_MALFORMED" InvalidRequest "the request is not a well-formed form of UTF-8 parameters in the body";
    ParameterMissing "PARAMETER_MISSING" InvalidRequest "a required parameter is missing or empty";
    ParameterDuplicated "PARAMETER_DUPLICATED" InvalidRequest "a parameter that may stand once stands more than once";
    ParameterInvalid "PARAMETER_INVALID" InvalidRequest "a parameter has a value that is not allowed for it";
    TokenTypeUnsupported "TOKEN_TYPE_UNSUPPORTED" InvalidRequest "subject_token_type or requested_token_type is not one that this server supports";
    ActorTokenUnsupported "ACTOR_TOKEN_UNSUPPORTED" InvalidRequest "actor_token is not supported: delegation does not exist here";
    GrantTypeUnsupported "GRANT_TYPE_UNSUPPORTED" UnsupportedGrantType "grant_type is not one that this endpoint supports";
    ClientAuthenticationFailed "CLIENT_AUTHENTICATION_FAILED" InvalidClient "client authentication was tried with a method or secret that this server does not know";
    NotFound "NOT_FOUND" NotFound "there is nothing at this path";
    MethodNotAllowed "METHOD_NOT_ALLOWED" MethodNotAllowed "this path does not take that method";
    ContentTypeUnsupported "CONTENT_TYPE_UNSUPPORTED" UnsupportedMediaType "the body must be application/x-www-form-urlencoded without a content encoding";
    BodyTooLarge "BODY_TOO_LARGE" TooLarge "the body is larger than this server reads";
    RequestTimeout "REQUEST_TIMEOUT" Timeout "the request did not arrive in time";

    // The target and the scope.
    TargetMissing "TARGET_MISSING" InvalidTarget "no target was named: send audience or resource";
    TargetUnknown "TARGET_UNKNOWN" InvalidTarget "the target is not one that this identity can have a credential for";
    TargetAmbiguous "TARGET_AMBIGUOUS" InvalidTarget "more than one target was named";
    ScopeMalformed "SCOPE_MALFORMED" InvalidScope "scope is not a role name and namespace:permission items";
    ScopeUnknown "SCOPE_UNKNOWN" InvalidScope "scope names a role that this target does not have";
    ScopeAmbiguous "SCOPE_AMBIGUOUS" InvalidScope "this identity has several roles on the target: name one in scope";
    ScopeBeyondRole "SCOPE_BEYOND_ROLE" InvalidScope "scope asks for a permission that the role does not grant";

    // The token as an object.
    TokenMalformed "TOKEN_MALFORMED" InvalidEvidence "the token is not a compact JWS with strict base64url and JSON";
    TokenTooLarge "TOKEN_TOO_LARGE" InvalidEvidence "the token is larger than this server reads";
    MemberDuplicated "MEMBER_DUPLICATED" InvalidEvidence "the token has a JSON member twice";
    AlgorithmNotAllowed "ALGORITHM_NOT_ALLOWED" InvalidEvidence "the token's algorithm is not allowed for its issuer";
    HeaderNotAllowed "HEADER_NOT_ALLOWED" InvalidEvidence "the token's header has a parameter that is not allowed";
    TypeNotAllowed "TYPE_NOT_ALLOWED" InvalidEvidence "the token's typ says that it is not for this use";
    KeyIdMissing "KEY_ID_MISSING" InvalidEvidence "the token's header has no usable kid, and the issuer has more than one key";
    KeyUnknown "KEY_UNKNOWN" InvalidEvidence "the issuer has published no key with the token's kid";
    SignatureInvalid "SIGNATURE_INVALID" InvalidEvidence "the token's signature does not verify under the issuer's key";

    // The token's claims.
    IssuerUnknown "ISSUER_UNKNOWN" InvalidEvidence "no configured trust domain has the token's issuer";
    ClaimMissing "CLAIM_MISSING" InvalidEvidence "the token lacks a claim that its trust domain requires";
    ClaimInvalid "CLAIM_INVALID" InvalidEvidence "the token has a claim of the wrong type or form";
    AudienceMismatch "AUDIENCE_MISMATCH" InvalidEvidence "the token's audience is not exactly this server";
    SubjectInvalid "SUBJECT_INVALID" InvalidEvidence "the token's subject is not of the form that its trust domain has";
    TenantMismatch "TENANT_MISMATCH" InvalidEvidence "the token is from another tenant of the same issuer";
    TokenExpired "TOKEN_EXPIRED" InvalidEvidence "the token has expired";
    TokenNotYetValid "TOKEN_NOT_YET_VALID" InvalidEvidence "the token is not valid yet, or was issued in the future";
    TokenLifetimeTooLong "TOKEN_LIFETIME_TOO_LONG" InvalidEvidence "the token's lifetime is longer than its trust domain allows";
    TokenTooOld "TOKEN_TOO_OLD" InvalidEvidence "the token was issued longer ago than its trust domain allows";
    TokenReplayed "TOKEN_REPLAYED" InvalidEvidence "the token was used before and may be used once";
    TokenSelfIssued "TOKEN_SELF_ISSUED" InvalidEvidence "the token was issued by this server and cannot be exchanged again";
    TokenKindRefused "TOKEN_KIND_REFUSED" InvalidEvidence "the token is of a kind that its trust domain never accepts";

    // The decision.
    RuleNoMatch "RULE_NO_MATCH" InvalidEvidence "the identity is genuine, but no rule grants it what was asked";
    RuleObserveOnly "RULE_OBSERVE_ONLY" InvalidEvidence "the only rule that matches is in observe mode and grants nothing";
    EventForbidden "EVENT_FORBIDDEN" InvalidEvidence "the trust domain forbids identities of this kind of trigger or origin";
    Disabled "DISABLED" InvalidEvidence "an administrator has disabled this issuer, trust domain, rule, subject or target";
    LifetimeTooShort "LIFETIME_TOO_SHORT" InvalidEvidence "too little of the token's life is left for a credential";

    // Load and faults.
    RateLimited "RATE_LIMITED" TooManyRequests "too many requests from this address";
    BudgetExceeded "BUDGET_EXCEEDED" TooManyRequests "too many credentials for this identity, trust domain or target";
    Overloaded "OVERLOADED" Unavailable "the server has too much to do at the moment";
    Draining "DRAINING" Unavailable "the server is shutting down";
    IssuerUnavailable "ISSUER_UNAVAILABLE" Unavailable "the issuer's keys could not be fetched, or are too old to rely on";
    LedgerUnavailable "LEDGER_UNAVAILABLE" Unavailable "the exchange could not be recorded, so nothing was issued";
    SigningUnavailable "SIGNING_UNAVAILABLE" Unavailable "the target's signing key is not available";
    Internal "INTERNAL" ServerError "an internal fault: nothing was issued";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is no reason's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no reason has that code")]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|r| r.code() == text)
            .ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_stable_names() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            let code = reason.code();
            assert!(
                code.len() <= 63 && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
                "{code}"
            );
            assert_eq!(code.parse(), Ok(*reason));
            assert!(
                Reason::ALL[..i].iter().all(|r| r.code() != code),
                "{code} stands twice"
            );
        }
        assert_eq!("NOPE".parse::<Reason>(), Err(UnknownReason));
    }

    #[test]
    fn descriptions_keep_to_the_characters_of_rfc_6749() {
        for reason in Reason::ALL {
            for byte in reason.description().bytes() {
                assert!(
                    matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e),
                    "{reason}: {byte}"
                );
            }
        }
    }

    #[test]
    fn every_page_says_what_it_means_and_what_to_do() {
        for reason in Reason::ALL {
            let page = reason.page();
            assert!(
                page.starts_with(&format!("# {}\n", reason.code())),
                "{reason}"
            );
            for part in ["## What happened", "## What to do"] {
                assert!(page.contains(part), "{reason}: {part}");
            }
        }
    }
}
