//! Rules of HTTP/1, one test each.
