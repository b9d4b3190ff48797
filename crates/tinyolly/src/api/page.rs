//! Pages of lists: which one is asked for, and how one is answered.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::params::Params;
use super::problem::Problem;
use crate::store::query::{Order, Page, Paging, Sort};

/// Where to go on; absent at the end of the list.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");
/// How far was looked, in nanoseconds since the epoch, when time ended the search.
const SEARCHED_TO: HeaderName = HeaderName::from_static("x-searched-to");
/// `false` when only the newest of the range was sorted.
const COMPLETE: HeaderName = HeaderName::from_static("x-complete");

/// What a list can be ordered by.
pub(super) type Sorts = &'static [(&'static str, Sort)];
pub(super) const TRACE_SORTS: Sorts = &[
    ("time", Sort::Time),
    ("duration", Sort::Duration),
    ("spans", Sort::Spans),
    ("errors", Sort::Errors),
    ("name", Sort::Name),
];
pub(super) const SPAN_SORTS: Sorts =
    &[("time", Sort::Time), ("duration", Sort::Duration), ("name", Sort::Name)];
pub(super) const LOG_SORTS: Sorts = &[("time", Sort::Time)];

/// Takes `limit`, `sort`, `order` and `cursor`.
pub(super) fn paging(params: &mut Params, sorts: Sorts) -> Result<Paging, Problem> {
    let names: Vec<_> = sorts.iter().map(|(name, _)| *name).collect();
    let form = format!("one of {}", names.join(", "));
    let sort = params.choice("sort", &form, |value| {
        sorts.iter().find(|(name, _)| *name == value).map(|(_, sort)| *sort)
    })?;
    let order = params.choice("order", "desc or asc", |value| match value {
        "desc" => Some(Order::Descending),
        "asc" => Some(Order::Ascending),
        _ => None,
    })?;
    Ok(Paging {
        limit: params.limit()?,
        sort: sort.unwrap_or_default(),
        order: order.unwrap_or_default(),
        cursor: params.text("cursor")?,
    })
}

/// The page as a JSON array; what else there is to say of it stands in headers.
pub(super) fn answer<'a, T, L: Serialize>(page: &'a Page<T>, line: impl Fn(&'a T) -> L) -> Response {
    let mut response = Json(page.items.iter().map(line).collect::<Vec<_>>()).into_response();
    let searched_to = page.searched_to.map(|ns| ns.to_string());
    let complete = (!page.complete).then(|| "false".to_owned());
    for (name, value) in [(NEXT_CURSOR, page.next.clone()), (SEARCHED_TO, searched_to), (COMPLETE, complete)]
    {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
