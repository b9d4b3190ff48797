//! The OpenAPI document covers every route, and nothing else, and answers have the shapes it gives.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::Running;

const T0: u64 = 1_763_829_600_000_000_000;

/// Paths in the router's source: axum does not tell what it routes.
fn routed() -> BTreeSet<String> {
    let source = include_str!("../src/api/mod.rs");
    let paths = source.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1));
    let mut routed: BTreeSet<String> = paths.map(str::to_owned).collect();
    // The answer to paths that do not exist.
    assert!(routed.remove("/api/{*path}"));
    assert!(routed.remove("/jaeger/{*path}"));
    assert!(routed.remove("/admin/{*path}"));
    // Names may hold slashes, so the router cannot tell these two apart.
    assert!(routed.remove("/api/metrics/{*name}"));
    routed.extend(["/api/metrics/{name}".to_owned(), "/api/metrics/{name}/cardinality".to_owned()]);
    routed.insert("/docs".to_owned());
    routed
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_path_is_routed() {
    let server = Running::start().await;
    let document = server.json("/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(documented, routed());
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods: Vec<&String> = item.as_object().unwrap().keys().collect();
        assert!(methods == ["get"] || methods == ["post"], "{path}");
        let operation = &item[methods[0].as_str()];
        assert!(operation["summary"].as_str().is_some_and(|words| !words.is_empty()), "{path}");
        for parameter in operation["parameters"].as_array().unwrap_or(&vec![]) {
            let name = parameter["name"].as_str().unwrap();
            assert!(
                parameter["description"].as_str().is_some_and(|words| !words.is_empty()),
                "{path} {name}"
            );
        }
        // DELETE is possible nowhere, which only a path that is routed says.
        let concrete = path.replace(['{', '}'], "");
        let delete = server.client.delete(format!("http://{}{concrete}", server.at.ui)).send().await.unwrap();
        assert_eq!(delete.status(), 405, "{path}");
    }
}

/// Whether a parameter of this operation is taken: an unknown one is refused by name.
#[tokio::test]
async fn documented_parameters_are_taken() {
    let server = Running::start().await;
    let document = server.json("/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().unwrap_or(&vec![]) {
            // A stream takes what it is given and does not end.
            let stream = item["get"]["responses"]["200"]["content"].get("text/event-stream").is_some();
            if parameter["in"] == "query" && !stream {
                let name = parameter["name"].as_str().unwrap();
                let concrete =
                    path.replace("{trace_id}", &"01".repeat(16)).replace("{span_id}", &"02".repeat(8));
                let concrete = concrete.replace(['{', '}'], "");
                // Some are taken only along with another.
                let with = match (path.as_str(), name) {
                    ("/api/logs", "before" | "after") => "around=1&",
                    ("/api/export", "signal") => "",
                    ("/api/export", _) => "signal=traces&",
                    _ => "",
                };
                let (_, body) = server.get(&format!("{concrete}?{with}{name}=%7F")).await;
                let detail = body["detail"].as_str().unwrap_or_default();
                assert!(!detail.contains("unknown parameter"), "{path}: {detail}");
            }
        }
    }
}

/// Asserts that a value fits a schema, and has no field that the schema does not know.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return fits(document, &document["components"]["schemas"][name], value, at);
    }
    let one_of = schema["oneOf"].as_array();
    if let Some(choices) = one_of {
        if value.is_null() {
            assert!(choices.iter().any(|choice| choice["type"] == "null"), "{at} is null");
        } else {
            let choice = choices.iter().find(|choice| choice["type"] != "null").unwrap();
            fits(document, choice, value, at);
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    assert!(
        types.contains(&kind) || (kind == "integer" && types.contains(&"number")),
        "{at} is {value}, not {types:?}"
    );
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter().for_each(|item| fits(document, items, item, &format!("{at}[]")));
    }
    if let (Some(fields), Some(object)) = (schema["properties"].as_object(), value.as_object()) {
        for required in schema["required"].as_array().unwrap_or(&vec![]) {
            assert!(object.contains_key(required.as_str().unwrap()), "{at} has no {required}: {value}");
        }
        for (key, value) in object {
            let schema = fields.get(key).unwrap_or_else(|| panic!("{at}.{key} is not documented"));
            fits(document, schema, value, &format!("{at}.{key}"));
        }
    }
}

#[tokio::test]
async fn answers_have_the_documented_shapes() {
    let server = Running::start().await;
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    let attributes = json!([{"key": "k", "value": {"intValue": "1"}}, {"key": "http.request.method", "value": {"stringValue": "GET"}}]);
    let (trace, span) = ("01".repeat(16), "02".repeat(8));
    let spans = json!([{"traceId": trace, "spanId": span, "name": "GET /", "kind": 2, "startTimeUnixNano": T0.to_string(),
        "endTimeUnixNano": (T0 + 5_000_000).to_string(), "attributes": attributes, "status": {"code": 2, "message": "no"}},
        {"traceId": trace, "spanId": "03".repeat(8), "parentSpanId": span, "name": "SELECT", "kind": 3, "startTimeUnixNano": T0.to_string(),
         "endTimeUnixNano": (T0 + 1).to_string(), "attributes": [{"key": "db.system", "value": {"stringValue": "redis"}}]}]);
    server
        .accept(
            "traces",
            json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}),
        )
        .await;
    let log = json!({"timeUnixNano": T0.to_string(), "body": {"stringValue": "b"}, "severityNumber": 9, "attributes": attributes});
    server
        .accept(
            "logs",
            json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [log]}]}]}),
        )
        .await;
    let exemplar = json!({"timeUnixNano": T0.to_string(), "asDouble": 1.5, "traceId": trace, "spanId": span});
    let histogram = json!({"timeUnixNano": (T0 + 5).to_string(), "startTimeUnixNano": (T0 + 1).to_string(), "count": "3", "sum": 1.5,
        "bucketCounts": ["1", "2"], "explicitBounds": [0.5], "attributes": attributes, "exemplars": [exemplar]});
    let metrics = json!([{"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [histogram]}},
        {"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": (T0 + 5).to_string(), "asInt": "3"}]}}]);
    server
        .accept(
            "metrics",
            json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}),
        )
        .await;
    let range = format!("start={T0}&end={}", T0 + 10_000_000);
    let log_id = server.json("/api/logs").await[0]["log_id"].as_str().unwrap().to_owned();
    let document = server.json("/openapi.json").await;
    for (path, asked) in [
        ("/api/traces", "/api/traces".to_owned()),
        ("/api/traces/{trace_id}", format!("/api/traces/{trace}")),
        ("/api/spans", "/api/spans".to_owned()),
        ("/api/spans/{span_id}", format!("/api/spans/{span}")),
        ("/api/logs", "/api/logs".to_owned()),
        ("/api/logs/{log_id}", format!("/api/logs/{log_id}")),
        ("/api/metrics", "/api/metrics".to_owned()),
        ("/api/metrics/{name}", format!("/api/metrics/h?{range}")),
        ("/api/metrics/query", format!("/api/metrics/query?name=h&{range}")),
        ("/api/metrics/query", format!("/api/metrics/query?name=h&function=heatmap&{range}")),
        ("/api/metrics/query", format!("/api/metrics/query?name=g&group_by=k&{range}")),
        ("/api/metrics/{name}/cardinality", "/api/metrics/h/cardinality".to_owned()),
        ("/api/service-catalog", format!("/api/service-catalog?{range}")),
        ("/api/service-catalog/{service}", format!("/api/service-catalog/shop?{range}")),
        ("/api/service-map", format!("/api/service-map?{range}")),
        ("/api/histogram", format!("/api/histogram?signal=spans&{range}")),
        ("/api/facets", "/api/facets?signal=spans&fields=service,kind".to_owned()),
        ("/api/attributes", "/api/attributes?signal=spans".to_owned()),
        ("/jaeger/api/services", "/jaeger/api/services".to_owned()),
        ("/jaeger/api/traces/{trace_id}", format!("/jaeger/api/traces/{trace}")),
        ("/api/stats", "/api/stats".to_owned()),
        ("/admin/stats", "/admin/stats".to_owned()),
        ("/health", "/health".to_owned()),
    ] {
        let answer = server.json(&asked).await;
        assert!(answer.as_array().is_none_or(|list| !list.is_empty()), "{asked}");
        let ok = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(ok.is_object(), "{path}");
        fits(&document, ok, &answer, path);
    }
    let (_, problem) = server.get("/api/traces?limit=x").await;
    fits(&document, &document["components"]["schemas"]["Problem"], &problem, "problem");
}

#[tokio::test]
async fn the_page_runs_no_inline_script_and_needs_no_other_host() {
    let server = Running::start().await;
    for (path, media_type) in
        [("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")]
    {
        let response = server.client.get(format!("http://{}{path}", server.at.ui)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with(media_type));
        assert!(header("content-security-policy").contains("script-src 'self';"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        let text = response.text().await.unwrap();
        assert!(
            !text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"),
            "{path}"
        );
        assert!(
            !text.contains("<script>") && !text.contains("onclick") && !text.contains("style="),
            "{path}"
        );
    }
    let api = server.client.get(format!("http://{}/openapi.json", server.at.ui)).send().await.unwrap();
    assert_eq!(api.headers()["content-security-policy"], "default-src 'none'");
}
