//! The words of the project as range-checked types. No I/O.
//!
//! Text is parsed into these once, at the boundary; whoever holds one knows
//! that it is well formed. Nothing here knows where a value came from.

pub mod attribute;
pub mod issuer;
pub mod json;
pub mod name;
pub mod permission;
pub mod reason;
pub mod request_id;
pub mod shape;
pub mod spiffe_id;
pub mod target;
pub mod ttl;

pub use attribute::{Asserter, Attribute, Attributes, Field, FieldKind, FieldSpec, Value};
pub use issuer::{HttpsUrl, IssuerUrl};
pub use json::Json;
pub use name::{ConditionName, RoleName, RuleName, TargetName, TrustDomainName};
pub use permission::{Access, Namespace, Permission};
pub use reason::{OAuthError, Reason};
pub use request_id::RequestId;
pub use spiffe_id::{SpiffeId, SpiffeTrustDomain};
pub use target::{Target, TargetSigning};
pub use ttl::Ttl;
