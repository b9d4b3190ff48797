//! Counts over time and by value, under the same filters as the lists.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Map, Value, json};

use super::Context;
use super::filters::{self, KINDS, SEVERITIES, STATUSES};
use super::params::Params;
use super::problem::Problem;
use crate::store::query::{self, Budget, Condition, Facets, Field, SCAN, Subject, Test};

const SIGNALS: &str = "one of traces, spans, logs";

/// Takes `signal` and the filters that fit it; the name of the signal comes back.
fn subject(params: &mut Params) -> Result<(&'static str, Subject), Problem> {
    let signal = params.choice("signal", SIGNALS, |value| {
        ["traces", "spans", "logs"].into_iter().find(|known| *known == value)
    })?;
    let subject = match signal {
        Some("traces") => Subject::Traces(filters::spans(params)?),
        Some("spans") => Subject::Spans(filters::spans(params)?),
        Some(_) => Subject::Logs(filters::logs(params)?),
        None => return Err(Problem::bad_request(format!("signal is missing: {SIGNALS}"))),
    };
    Ok((signal.unwrap_or_default(), subject))
}

/// `GET /api/histogram`
pub(super) async fn histogram(State(context): State<Context>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let (signal, subject) = subject(&mut params)?;
    let most = params.choice("buckets", "a number from 1 to 400", |value| {
        value.parse().ok().filter(|n| (1..=400).contains(n))
    })?;
    params.finish()?;
    let most = most.unwrap_or(60);
    let search = move |db: &_| query::histogram(db, &subject, most, Budget::of(SCAN));
    let found = context.store.read(search).await?;
    let sum = |of: fn(&query::Bucket) -> u64| found.buckets.iter().map(of).sum::<u64>();
    let buckets: Vec<_> = found
        .buckets
        .iter()
        .map(|b| json!({ "start": b.start.to_string(), "count": b.count, "errors": b.errors }))
        .collect();
    Ok(Json(json!({
        "signal": signal,
        "start": found.start.to_string(),
        "end": found.end.to_string(),
        "bucket_ns": found.bucket_ns.to_string(),
        "complete": found.searched_to.is_none(),
        "searched_to": found.searched_to.map(|ns| ns.to_string()),
        "total": sum(|bucket| bucket.count),
        "errors": sum(|bucket| bucket.errors),
        "buckets": buckets,
    })))
}

/// A field by its name, where the signal has it.
fn field(name: &str, signal: &str) -> Option<Field> {
    let logs = signal == "logs";
    match name {
        "service" => Some(Field::Service),
        "name" if !logs => Some(Field::Name),
        "kind" if !logs => Some(Field::Kind),
        "status" if !logs => Some(Field::Status),
        "status_class" if !logs => Some(Field::StatusClass),
        "severity" if logs => Some(Field::Severity),
        "event_name" if logs => Some(Field::EventName),
        _ => {
            let condition = Condition::parse(name.strip_prefix("attr:")?).ok()?;
            let Condition { resource, key, test } = condition;
            (test == Test::Exists).then_some(Field::Attribute { resource, key })
        }
    }
}

/// A value as the filter parameter of the field takes it.
fn shown(field: &Field, value: &str) -> String {
    let named = |names: &[&str]| {
        let name = value.parse().ok().and_then(|at: usize| names.get(at));
        name.map_or_else(|| value.to_owned(), |name| (*name).to_owned())
    };
    match field {
        Field::Kind => named(&KINDS),
        Field::Status => named(&STATUSES),
        Field::StatusClass => format!("{value}xx"),
        Field::Severity => match value.parse::<usize>() {
            Ok(first @ 1..) => SEVERITIES.get(first / 4).copied().unwrap_or_default().to_owned(),
            _ => "UNSPECIFIED".to_owned(),
        },
        _ => value.to_owned(),
    }
}

/// `GET /api/facets`
pub(super) async fn facets(State(context): State<Context>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let (signal, subject) = subject(&mut params)?;
    let names = params.text("fields")?.unwrap_or_else(|| "service".to_owned());
    params.finish()?;
    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
    if names.len() > 20 {
        return Err(Problem::bad_request("fields names more than 20"));
    }
    let mut fields = Vec::new();
    for name in &names {
        let known = field(name, signal);
        fields.push(known.ok_or_else(|| Problem::bad_request(format!("{signal} have no field {name:?}")))?);
    }
    let wanted = fields.clone();
    let search = move |db: &_| query::facets(db, &subject, &wanted, Budget::of(SCAN));
    let Facets { complete, fields: found } = context.store.read(search).await?;
    let mut by_name = Map::new();
    for ((name, field), values) in names.into_iter().zip(&fields).zip(found) {
        let line = |(value, count): (String, u64)| json!({ "value": shown(field, &value), "count": count });
        by_name.insert(name, values.into_iter().map(line).collect());
    }
    Ok(Json(json!({ "complete": complete, "fields": by_name })))
}

/// `GET /api/attributes`
pub(super) async fn attributes(State(context): State<Context>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let logs = params.choice("signal", SIGNALS, |value| match value {
        "traces" | "spans" => Some(false),
        "logs" => Some(true),
        _ => None,
    })?;
    let prefix = params.text("prefix")?.unwrap_or_default();
    params.finish()?;
    let logs = logs.unwrap_or(false);
    let search = move |db: &_| query::attribute_keys(db, logs, &prefix, Budget::of(SCAN));
    let keys = context.store.read(search).await?;
    let line = |(key, count): (String, u64)| json!({ "key": key, "count": count });
    Ok(Json(json!({ "keys": keys.into_iter().map(line).collect::<Vec<_>>() })))
}
