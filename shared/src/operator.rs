//! Operators' roles.

use crate::text::word_enum;

word_enum! {
    /// What an operator may do. Each role may do what the one before it may.
    Role, "role" {
        /// Reads everything, changes nothing.
        Auditor = "auditor",
        /// Also manages agents and credentials.
        Operator = "operator",
        /// Also manages organizations.
        Admin = "admin",
    }
}
