//! Tests of the agent against the running kernel and real services; they need root.
