//! Redaction of what URLs may give away.
