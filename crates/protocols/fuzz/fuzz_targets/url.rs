//! Any text as request target, host and query.

#![no_main]

use libfuzzer_sys::fuzz_target;
use otel_ebpf_protocols::redact::Redactor;

fuzz_target!(|input: &str| {
    let _ = otel_ebpf_protocols::url::host_port(input);
    let redactor = Redactor::default();
    let once = redactor.query(input).into_owned();
    assert_eq!(redactor.query(&once), once);
});
