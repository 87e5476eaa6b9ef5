//! The domain of AgentIdP: records, rules and words, and nothing else.
//!
//! No I/O, no clock, no randomness: whoever calls brings the time and the random bytes, so every
//! rule here is a function of its arguments. A value of one of these types is valid; what comes
//! from outside becomes one through `FromStr`, `TryFrom` or `serde`, or is refused with a
//! [`FieldError`] that names the field and the rule.

pub mod agent;
pub mod audit;
pub mod base62;
pub mod count;
pub mod credential;
pub mod duration;
pub mod email;
pub mod error;
pub mod id;
pub mod key;
pub mod key_schedule;
pub mod merkle;
pub mod metadata;
pub mod operator;
pub mod organization;
pub mod pruned;
pub mod rate;
pub mod resource;
pub mod scope;
pub mod secret;
pub mod time;
pub mod token;

mod text;

pub use agent::{Agent, AgentStatus, AgentType, AgentUpdate, DeploymentEnv};
pub use audit::{Action, Actor, ActorKind, Entry, Outcome, RefusedHead, Target, TargetKind, Via};
pub use credential::{Credential, CredentialKind, CredentialStatus, PublicKey};
pub use email::Email;
pub use error::{Code, FieldError};
pub use id::{AgentId, CredentialId, OrganizationId, RequestId, StoreId, TokenId};
pub use key::{KeyState, NextChange, ScheduledKey, SigningAlgorithm, SigningKey};
pub use key_schedule::KeySchedule;
pub use metadata::Metadata;
pub use operator::Role;
pub use organization::{
    Organization, OrganizationName, OrganizationStatus, OrganizationUpdate, Tier,
};
pub use pruned::{Places, Pruned};
pub use rate::{Exhausted, Headroom, Rate, Rates, RequestKind, RequestLimits};
pub use resource::Resource;
pub use scope::{Scope, ScopeSet};
pub use secret::ClientSecret;
pub use text::{Owner, Reason};
pub use time::Timestamp;
