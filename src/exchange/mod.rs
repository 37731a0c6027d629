//! The use case: evidence and an ask in, a credential or a refusal out.
//!
//! There is one path, `run`, for every grant type: whatever is added to the
//! endpoint later passes the same nine steps in the same order, since no other
//! code can turn an identity into a credential. The story of one exchange is
//! told in `run.rs`; the other files are what it is told with.

mod answer;
mod audit;
mod budgets;
mod explain;
mod form;
mod meters;
mod refusal;
mod request;
mod run;
mod scope;
mod world;

pub use answer::Answer;
pub use budgets::{BudgetLimits, Rate};
pub use explain::{Explanation, Question, Step, Verdict, explain};
pub use form::{Form, FormError};
pub use meters::Meters;
pub use refusal::{Hint, Refusal};
pub use request::{Caller, ExchangeRequest, GrantType, grant_types};
pub use run::{Exchange, Parts};
pub use world::World;
