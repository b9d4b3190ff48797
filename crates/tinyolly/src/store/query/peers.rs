//! Who is at the other end of a span, as its attributes tell: databases, queues and services that report nothing.
//!
//! Old and new names of the semantic conventions are understood, the new ones first.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

/// What a node of the service map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeType {
    /// Reports spans here.
    Service,
    /// Named by a span that asked it.
    Database,
    /// Named by those that sent to it or took from it.
    Queue,
    /// Was called and reports nothing here.
    External,
    /// Called a service and reports nothing here.
    Caller,
}

/// The other end of a span.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) kind: NodeType,
    /// Tells it from others of its kind.
    pub(super) key: String,
    /// For people.
    pub(super) label: String,
}

const DATABASE: [&str; 2] = ["db.system.name", "db.system"];
const NAMESPACE: [&str; 2] = ["db.namespace", "db.name"];
const MESSAGING: [&str; 1] = ["messaging.system"];
// A template stands for destinations of which each has few messages.
const DESTINATION: [&str; 3] =
    ["messaging.destination.template", "messaging.destination.name", "messaging.destination"];
const OPERATION: [&str; 2] = ["messaging.operation.type", "messaging.operation"];
const ADDRESS: [&str; 6] = [
    "server.address",
    "net.peer.name",
    "http.host",
    "net.sock.peer.name",
    "network.peer.address",
    "net.peer.ip",
];
const PORT: [&str; 3] = ["server.port", "net.peer.port", "network.peer.port"];
const URL: [&str; 2] = ["url.full", "http.url"];
const PEER_SERVICE: [&str; 2] = ["service.peer.name", "peer.service"];

/// The text of the first of these attributes that has one.
fn text<'a>(attributes: &'a [KeyValue], keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| {
        let attribute = attributes.iter().find(|attribute| attribute.key == *key)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        }
    })
}

fn number(attributes: &[KeyValue], keys: &[&str]) -> Option<i64> {
    keys.iter().find_map(|key| {
        let attribute = attributes.iter().find(|attribute| attribute.key == *key)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::IntValue(number) => Some(*number),
            Value::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    })
}

/// The address of the other end, with its port where that is not the usual one of the web.
fn address(attributes: &[KeyValue]) -> Option<String> {
    let Some(host) = text(attributes, &ADDRESS) else {
        let url = text(attributes, &URL)?;
        let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next().filter(|host| !host.is_empty())?;
        return Some(host.to_owned());
    };
    match number(attributes, &PORT) {
        Some(port) if port > 0 && port != 80 && port != 443 && !host.ends_with(&format!(":{port}")) => {
            Some(format!("{host}:{port}"))
        }
        _ => Some(host.to_owned()),
    }
}

/// The database that a span asks.
fn database(attributes: &[KeyValue]) -> Option<Peer> {
    let system = text(attributes, &DATABASE)?;
    let namespace = text(attributes, &NAMESPACE);
    let place = namespace.map(str::to_owned).or_else(|| address(attributes)).unwrap_or_default();
    let label = match namespace {
        // A number of a database says nothing by itself.
        Some(name) if !name.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ if place.is_empty() => system.to_owned(),
        _ => format!("{system} {place}"),
    };
    Some(Peer { kind: NodeType::Database, key: format!("{system}:{place}"), label })
}

/// The queue or topic that a span sends to or takes from, and whether it takes.
pub(super) fn queue(kind: i32, span: &Span) -> Option<(Peer, bool)> {
    let attributes = &span.attributes;
    let system = text(attributes, &MESSAGING);
    let name = text(attributes, &DESTINATION).or(system)?;
    let takes = match text(attributes, &OPERATION) {
        Some("receive" | "process" | "deliver") => true,
        Some("publish" | "send" | "create") => false,
        _ => kind == 5,
    };
    let key = format!("{}:{name}", system.unwrap_or_default());
    Some((Peer { kind: NodeType::Queue, key, label: name.to_owned() }, takes))
}

/// Who answers a call that nobody here has answered.
pub(super) fn callee(span: &Span) -> Peer {
    let attributes = &span.attributes;
    if let Some(database) = database(attributes) {
        return database;
    }
    let name = text(attributes, &PEER_SERVICE).map(str::to_owned).or_else(|| address(attributes));
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    Peer { kind: NodeType::External, key: name.clone(), label: name }
}

/// Who made a request whose call is not here.
pub(super) fn caller(span: &Span) -> Peer {
    let name = text(&span.attributes, &PEER_SERVICE).unwrap_or("unknown").to_owned();
    let label = if name == "unknown" { "unknown caller".to_owned() } else { name.clone() };
    Peer { kind: NodeType::Caller, key: name, label }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::AnyValue;

    fn span(attributes: &[(&str, &str)]) -> Span {
        let attribute = |(key, value): &(&str, &str)| {
            let value = match value.parse() {
                Ok(number) => Value::IntValue(number),
                Err(_) => Value::StringValue((*value).into()),
            };
            let value = Some(AnyValue { value: Some(value) });
            KeyValue { key: (*key).into(), value, ..Default::default() }
        };
        Span { attributes: attributes.iter().map(attribute).collect(), ..Default::default() }
    }

    #[test]
    fn callees_go_by_old_and_new_names() {
        use NodeType::{Database, External};
        for (attributes, kind, label) in [
            (&[("db.system", "postgresql"), ("db.name", "orders")][..], Database, "orders"),
            (&[("db.system.name", "postgresql"), ("db.namespace", "orders")], Database, "orders"),
            (&[("db.system", "redis"), ("server.address", "cache")], Database, "redis cache"),
            (&[("db.system", "redis")], Database, "redis"),
            (&[("peer.service", "billing"), ("server.address", "10.0.0.1")], External, "billing"),
            (&[("server.address", "pay.example"), ("server.port", "443")], External, "pay.example"),
            (&[("net.peer.name", "pay.example"), ("net.peer.port", "8443")], External, "pay.example:8443"),
            (&[("http.host", "localhost:8080"), ("server.port", "8080")], External, "localhost:8080"),
            (&[("http.url", "https://u:p@pay.example/charge?x=1")], External, "pay.example"),
            (&[("url.full", "nonsense")], External, "unknown"),
            (&[], External, "unknown"),
        ] {
            let found = callee(&span(attributes));
            assert_eq!((found.kind, found.label.as_str()), (kind, label), "{attributes:?}");
        }
    }

    #[test]
    fn queues_have_a_direction() {
        let of = |kind, attributes: &[(&str, &str)]| {
            queue(kind, &span(attributes)).map(|(peer, takes)| (peer.label, takes))
        };
        let named = |name: &str, takes| Some((name.to_owned(), takes));
        assert_eq!(of(4, &[("messaging.destination", "jobs")]), named("jobs", false));
        assert_eq!(of(5, &[("messaging.destination.name", "jobs")]), named("jobs", true));
        let receive = [("messaging.system", "kafka"), ("messaging.operation.type", "receive")];
        assert_eq!(of(3, &receive), named("kafka", true));
        assert_eq!(of(4, &[]), None);
    }
}
