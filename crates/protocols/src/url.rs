//! URLs of requests.
