//! Backups against damage and wrong keys.
