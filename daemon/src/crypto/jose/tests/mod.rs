//! The verifiers against what others publish, what has fooled verifiers before, and chance.

mod corpus_access_token;
mod corpus_assertion;
mod corpus_jwk;
mod corpus_jws;
mod fuzz;
mod property;
mod support;
mod wycheproof;
