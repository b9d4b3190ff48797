//! The configuration as a whole: precedence, OBI's file shape, and every problem told at once.

use std::io;
use std::path::Path;
use std::time::Duration;

use otel_ebpf_agent::config::{
    ConfigError, Environment, Flags, Loaded, LogLevel, OtlpProtocol, Override, ProcessFacts, RootSampler,
    TapChoice, TracePrinter, Unmatched, load, load_health_file,
};

/// The least that a configuration must say.
const MINIMAL: [(&str, &str); 2] =
    [("OTEL_EBPF_OPEN_PORT", "5001,5004"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")];

fn no_file(path: &Path) -> io::Result<String> {
    panic!("{} must not be read", path.display())
}

fn from_env(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let environment = variables.iter().copied().collect();
    load(&Flags::default(), &environment, no_file)
}

fn with_minimal(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    from_env(&[&MINIMAL, variables].concat())
}

fn from_file(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let environment: Environment =
        variables.iter().copied().chain([("OTEL_EBPF_CONFIG_PATH", "agent.yaml")]).collect();
    load(&Flags::default(), &environment, |path| {
        assert_eq!(path, Path::new("agent.yaml"));
        Ok(text.to_owned())
    })
}

fn good(loaded: Result<Loaded, ConfigError>) -> Loaded {
    loaded.unwrap_or_else(|error| panic!("{error}"))
}

fn problems(loaded: Result<Loaded, ConfigError>) -> Vec<String> {
    loaded.expect_err("must be refused").problems.iter().map(ToString::to_string).collect()
}

#[test]
fn minimal_configuration_has_the_documented_defaults() {
    let Loaded { settings, warnings } = good(from_env(&MINIMAL));
    assert_eq!(warnings, [""; 0]);
    let otlp = settings.export.otlp.expect("a collector");
    assert_eq!(
        (otlp.endpoint.as_str(), otlp.protocol, otlp.timeout, otlp.gzip),
        ("http://localhost:4317", OtlpProtocol::Grpc, Duration::from_secs(10), false)
    );
    assert_eq!(settings.export.printer, TracePrinter::Disabled);
    assert_eq!(
        (settings.export.batch_max_size, settings.export.batch_timeout, settings.export.queue_size),
        (4096, Duration::from_secs(1), 131_072)
    );
    assert_eq!((settings.sampler.root, settings.sampler.parent_based), (RootSampler::AlwaysOn, true));
    assert_eq!(settings.log_level, LogLevel::Info);
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(10));
    assert_eq!(settings.health_file, None);
    assert_eq!((settings.tap.attach, settings.tap.capture_bytes), (TapChoice::Auto, 4096));
    assert_eq!(settings.tap.ring_buffer_bytes, 8 << 20);
    assert_eq!(settings.http.routes.unmatched, Unmatched::Unset);
    assert!(settings.exclude_otel_instrumented_services);

    let frontend = ProcessFacts {
        pid: 7,
        exe_path: "/app/ebpf-frontend".to_owned(),
        listening_ports: vec![5001],
        ..ProcessFacts::default()
    };
    assert!(settings.selection.select(&frontend).is_some());
    for excluded in ["/usr/bin/otel-ebpf-agent", "/otelcol-contrib", "/usr/bin/otelcol-k8s", "/obi"] {
        let facts = ProcessFacts { exe_path: excluded.to_owned(), ..frontend.clone() };
        assert_eq!(settings.selection.select(&facts), None, "{excluded}");
    }
}

#[test]
fn nothing_selected_and_nowhere_to_go_are_told_together() {
    let problems = problems(from_env(&[]));
    assert_eq!(problems.len(), 2, "{problems:?}");
    for name in ["OTEL_EBPF_OPEN_PORT", "OTEL_EBPF_AUTO_TARGET_EXE", "OTEL_EBPF_TARGET_PID"] {
        assert!(problems[0].contains(name), "{problems:?}");
    }
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EBPF_TRACE_PRINTER"] {
        assert!(problems[1].contains(name), "{problems:?}");
    }
}

#[test]
fn every_bad_value_names_variable_value_and_accepted_form() {
    let cases = [
        ("OTEL_EBPF_OPEN_PORT", "80-", "80,443,8000-8999"),
        ("OTEL_EBPF_AUTO_TARGET_EXE", "*/[", "glob"),
        ("OTEL_EBPF_TARGET_PID", "me", "process ids"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317", "http://localhost:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://host:4317", "TLS"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "gzip or none"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "0 to 1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "novalue", "key=value"),
        ("OTEL_EBPF_TRACE_PRINTER", "yaml", "json_indent"),
        ("OTEL_EBPF_BPF_CONTEXT_PROPAGATION", "http", "headers"),
        ("OTEL_EBPF_EXCLUDE_OTEL_INSTRUMENTED_SERVICES", "maybe", "true or false"),
        ("OTEL_EBPF_METRICS_FEATURES", "application,everything", "application_span"),
        ("OTEL_EBPF_METRICS_INTERVAL", "60", "10s"),
        ("OTEL_EBPF_PROMETHEUS_PORT", "99999", "65535"),
        ("OTEL_EBPF_PROMETHEUS_PATH", "metrics", "/metrics"),
        ("OTEL_EBPF_LOG_LEVEL", "LOUD", "DEBUG"),
        ("OTEL_EBPF_SHUTDOWN_TIMEOUT", "10", "1m30s"),
        ("OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE", "0", "from 1"),
        ("OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT", "soon", "500ms"),
        ("OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "-1", "from 1"),
        ("OTEL_EBPF_BPF_BUFFER_SIZE_HTTP", "100", "256 to 8192"),
        ("OTEL_EBPF_TAP", "kprobe", "tracepoint"),
        ("OTEL_EBPF_RING_BUFFER_SIZE", "3", "power of two"),
        ("OTEL_EBPF_QUEUE_THRESHOLD", "1", "500ms"),
    ];
    for (name, value, accepted) in cases {
        let problems = problems(with_minimal(&[(name, value)]));
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        for part in [name, &format!("{value:?}"), accepted] {
            assert!(problems[0].contains(part), "{name}: {:?} lacks {part}", problems[0]);
        }
    }
    let all: Vec<_> = cases.iter().map(|(name, value, _)| (*name, *value)).collect();
    // The two endpoints are one setting, of which the more specific is read.
    assert_eq!(problems(from_env(&all)).len(), cases.len() - 1);
}

#[test]
fn values_of_headers_are_read_and_never_shown() {
    let name = "OTEL_EXPORTER_OTLP_HEADERS";
    let loaded = good(with_minimal(&[(name, "Authorization=Bearer%20abc, x-tenant=1")]));
    let headers = loaded.settings.export.otlp.expect("a collector").headers;
    assert_eq!(headers[0], ("Authorization".to_owned(), "Bearer abc".to_owned()));
    for value in ["hunter2", "a b=hunter2", "x=hunter2%0a"] {
        let problems = problems(with_minimal(&[(name, value)]));
        assert!(problems[0].contains(name) && !problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn endpoints_follow_the_specification() {
    let signal = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let protocol = "OTEL_EXPORTER_OTLP_PROTOCOL";
    let signal_protocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    let (grpc, http) = (OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf);
    let cases = [
        (vec![(base, "http://c:4318")], "http://c:4318/v1/traces", http),
        (vec![(base, "http://c:4318/x/")], "http://c:4318/x/v1/traces", http),
        (vec![(base, "http://c:4317")], "http://c:4317", grpc),
        (vec![(base, "http://c:9000"), (protocol, "grpc")], "http://c:9000", grpc),
        (vec![(signal, "http://t:4318/custom"), (base, "http://c:4317")], "http://t:4318/custom", http),
        (vec![(signal, "http://t:4318")], "http://t:4318", http),
        (
            vec![(base, "http://c:4317"), (signal_protocol, "http/protobuf"), (protocol, "grpc")],
            "http://c:4317/v1/traces",
            http,
        ),
    ];
    for (variables, endpoint, protocol) in cases {
        let variables = [vec![("OTEL_EBPF_OPEN_PORT", "80")], variables].concat();
        let otlp = good(from_env(&variables)).settings.export.otlp.expect("a collector");
        assert_eq!((otlp.endpoint.as_str(), otlp.protocol), (endpoint, protocol), "{variables:?}");
    }
}

#[test]
fn environment_selectors_form_one_rule_after_those_of_the_file() {
    let file = "
discovery:
  instrument:
    - open_ports: 8000-8999
      exe_path: '*/backend'
      namespace: shop
    - k8s_namespace: shop
      open_ports: 9000
trace_printer: text
";
    let variables = [("OTEL_EBPF_OPEN_PORT", "8080"), ("OTEL_GO_AUTO_TARGET_EXE", "*/frontend")];
    let Loaded { settings, warnings } = good(from_file(file, &variables));
    let facts = |exe: &str, port| ProcessFacts {
        exe_path: exe.to_owned(),
        listening_ports: vec![port],
        ..ProcessFacts::default()
    };
    let namespace = |facts: ProcessFacts| {
        settings.selection.select(&facts).map(|rule| rule.service_namespace.clone().unwrap_or_default())
    };
    assert_eq!(namespace(facts("/backend", 8080)).as_deref(), Some("shop"));
    assert_eq!(namespace(facts("/frontend", 8080)).as_deref(), Some(""));
    assert_eq!(namespace(facts("/frontend", 8081)), None, "both conditions of the environment must hold");
    assert_eq!(namespace(facts("/other", 9000)), None, "a rule that cannot be checked selects nothing");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("discovery.instrument[1].k8s_namespace"), "{warnings:?}");
}

#[test]
fn exclusions_of_the_file_are_honoured() {
    let file = "
discovery:
  instrument: [{open_ports: '1-65535'}]
  exclude_instrument: [{exe_path: '*/sshd'}]
  default_exclude_instrument: []
trace_printer: json
";
    let selection = good(from_file(file, &[])).settings.selection;
    let selected = |exe: &str| {
        let facts =
            ProcessFacts { exe_path: exe.to_owned(), listening_ports: vec![22], ..ProcessFacts::default() };
        selection.select(&facts).is_some()
    };
    assert!(!selected("/usr/sbin/sshd"));
    assert!(selected("/usr/bin/otelcol"), "the default exclusion was switched off");
}

#[test]
fn flags_beat_environment_beats_file() {
    let file = "
log_level: ERROR
shutdown_timeout: 3s
open_port: 80
otel_traces_export:
  endpoint: http://file:4318/v1/traces
  sampler: {name: traceidratio, arg: 0.25}
  queue_size: 99
ebpf: {buffer_sizes: {http: 1024}}
routes:
  patterns: ['/users/{id}', '/a,b']
  unmatched: heuristic
";
    let environment: Environment =
        [("OTEL_EBPF_LOG_LEVEL", "warn"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://env:4317")]
            .into_iter()
            .collect();
    let flags = Flags {
        config_path: Some("agent.yaml".into()),
        overrides: vec![Override {
            flag: "--endpoint",
            variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
            value: "http://flag:4318".to_owned(),
        }],
    };
    let settings = good(load(&flags, &environment, |_| Ok(file.to_owned()))).settings;
    assert_eq!(settings.log_level, LogLevel::Warn);
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(3));
    assert_eq!(settings.export.otlp.expect("a collector").endpoint, "http://flag:4318/v1/traces");
    assert_eq!(settings.export.queue_size, 99);
    assert_eq!(settings.sampler.root, RootSampler::TraceIdRatio(0.25));
    assert_eq!(settings.tap.capture_bytes, 1024);
    assert_eq!(settings.http.routes.patterns, ["/users/{id}", "/a,b"]);
    assert_eq!(settings.http.routes.unmatched, Unmatched::Heuristic);

    let settings = good(from_file(file, &[])).settings;
    assert_eq!(settings.export.otlp.expect("a collector").endpoint, "http://file:4318/v1/traces");
}

#[test]
fn the_health_file_is_the_same_for_the_agent_and_its_check() {
    let file = "open_port: 80\ntrace_printer: text\nhealth_file: /from/file\n";
    let flag = |value: &str| Override {
        flag: "--health-file",
        variable: "OTEL_EBPF_HEALTH_FILE",
        value: value.to_owned(),
    };
    for (variable, flags, expected) in [
        ("", vec![], "/from/file"),
        ("/from/variable", vec![], "/from/variable"),
        ("/from/variable", vec![flag("/from/flag")], "/from/flag"),
    ] {
        let flags = Flags { config_path: Some("agent.yaml".into()), overrides: flags };
        let environment = [("OTEL_EBPF_HEALTH_FILE", variable)].into_iter().collect();
        let loaded = good(load(&flags, &environment, |_| Ok(file.to_owned())));
        assert_eq!(loaded.warnings, [""; 0]);
        assert_eq!(loaded.settings.health_file, Some(expected.into()));
        let asked = load_health_file(&flags, &environment, |_| Ok(file.to_owned()));
        assert_eq!(asked, Ok(expected.into()));
    }
}

#[test]
fn problems_of_the_file_have_their_path() {
    let file = "
discovery:
  instrument:
    - open_ports: http
      containers_only: 3
shutdown_timeout: 10
routes: {patterns: [users]}
";
    let problems = problems(from_file(file, &[("OTEL_EBPF_TRACE_PRINTER", "text")]));
    let starts = [
        "agent.yaml: discovery.instrument[0].containers_only: \"3\"",
        "agent.yaml: discovery.instrument[0].open_ports: \"http\"",
        "agent.yaml: routes.patterns: \"users\"",
        "agent.yaml: shutdown_timeout: \"10\"",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
}

#[test]
fn file_may_refer_to_the_environment() {
    let file = "
open_port: ${PORTS}
shutdown_timeout: ${PATIENCE:-4s}
log_level: ${LEVEL:-INFO}
trace_printer: text
";
    let settings = good(from_file(file, &[("PORTS", "80,8000-8999"), ("LEVEL", "DEBUG")])).settings;
    assert_eq!(settings.selection.rules[0].open_ports.to_string(), "80,8000-8999");
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(4));
    assert_eq!(settings.log_level, LogLevel::Debug);
}

#[test]
fn unreadable_and_malformed_files_are_problems() {
    let flags = Flags { config_path: Some("gone.yaml".into()), ..Flags::default() };
    let environment = MINIMAL.into_iter().collect();
    let missing = load(&flags, &environment, |_| Err(io::Error::from(io::ErrorKind::NotFound)));
    assert!(problems(missing)[0].starts_with("read configuration file gone.yaml: "));
    let malformed = load(&flags, &environment, |_| Ok("a: [".to_owned()));
    assert!(problems(malformed)[0].starts_with("parse configuration file gone.yaml: "));
}

#[test]
fn names_without_effect_are_warned_of() {
    let variables = [
        ("OTEL_EBPF_SERVICE_NAME", "shop"),
        ("OTEL_EBPF_BPF_CONTEXT_PROPAGATION", "headers,tcp"),
        ("OTEL_EBPF_METRICS_FEATURES", "application"),
        ("OTEL_EBPF_KUBE_CLUSTER_NAME", "prod"),
        ("OTEL_EBPF_OPEN_PROT", "80"),
        ("OTEL_EBPF_EMPTY_NAME", ""),
    ];
    let Loaded { settings, warnings } = good(with_minimal(&variables));
    assert_eq!(settings.naming.service_name.as_deref(), Some("shop"));
    for part in [
        "OTEL_EBPF_SERVICE_NAME is deprecated: it merges",
        "OTEL_EBPF_BPF_CONTEXT_PROPAGATION: nothing is injected",
        "this version produces no metrics",
        "OTEL_EBPF_KUBE_CLUSTER_NAME is a setting of OBI that this agent does not support",
        "OTEL_EBPF_OPEN_PROT is not known and is ignored; did you mean OTEL_EBPF_OPEN_PORT?",
    ] {
        assert_eq!(
            warnings.iter().filter(|warning| warning.starts_with(part)).count(),
            1,
            "{part}: {warnings:?}"
        );
    }
    assert_eq!(warnings.len(), 5, "{warnings:?}");
}

#[test]
fn names_come_from_the_most_specific_variable() {
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=from%20attributes,service.namespace=shop,deployment.environment.name=dev",
    );
    let naming = good(with_minimal(&[attributes])).settings.naming;
    assert_eq!(naming.service_name.as_deref(), Some("from attributes"));
    assert_eq!(naming.service_namespace.as_deref(), Some("shop"));
    assert_eq!(naming.resource_attributes, [("deployment.environment.name".to_owned(), "dev".to_owned())]);
    let variables = [
        attributes,
        ("OTEL_SERVICE_NAME", "named"),
        ("OTEL_EBPF_SERVICE_NAME", "old"),
        ("OTEL_EBPF_SERVICE_NAMESPACE", "bank"),
    ];
    let naming = good(with_minimal(&variables)).settings.naming;
    assert_eq!(naming.service_name.as_deref(), Some("named"));
    assert_eq!(naming.service_namespace.as_deref(), Some("bank"));
}
