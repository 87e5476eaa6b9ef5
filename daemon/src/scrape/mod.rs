//! `/metrics`: everything that is measured, for a scraper such as Prometheus, on a listener of its
//! own. docs/reference/metrics.md is the specification.
//!
//! [`picture`] reads what is asked for now, [`server`] serves it together with what `metrics`
//! counted.

mod picture;
mod server;

pub(crate) use server::serve;
