//! Interned values read back; each is decoded once per query.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use rusqlite::{Connection, OptionalExtension};

use crate::store::StoreError;

/// Decoded sources of one query.
pub(super) struct Sources<'a> {
    db: &'a Connection,
    text: HashMap<i64, Arc<str>>,
    resources: HashMap<i64, Arc<ResourceSpans>>,
    scopes: HashMap<i64, Arc<ScopeSpans>>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(db: &'a Connection) -> Self {
        Self { db, text: HashMap::new(), resources: HashMap::new(), scopes: HashMap::new() }
    }

    pub(super) fn text(&mut self, id: i64) -> Result<Arc<str>, StoreError> {
        self.stored_text(id)?.ok_or_else(|| StoreError::Damaged(format!("there is no text {id}")))
    }

    /// A text that may have been deleted.
    pub(super) fn stored_text(&mut self, id: i64) -> Result<Option<Arc<str>>, StoreError> {
        if let Some(known) = self.text.get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let mut statement = self.db.prepare_cached("SELECT body FROM text WHERE id = ?1")?;
        let body: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
        let Some(body) = body else { return Ok(None) };
        let body: Arc<str> = body.into();
        self.text.insert(id, Arc::clone(&body));
        Ok(Some(body))
    }

    pub(super) fn resource(&mut self, id: i64) -> Result<Arc<ResourceSpans>, StoreError> {
        if let Some(known) = self.resources.get(&id) {
            return Ok(Arc::clone(known));
        }
        let mut statement = self.db.prepare_cached("SELECT body FROM resource WHERE id = ?1")?;
        let resource = Arc::new(decode(statement.query_row([id], |row| row.get(0))?)?);
        self.resources.insert(id, Arc::clone(&resource));
        Ok(resource)
    }

    pub(super) fn scope(&mut self, id: i64) -> Result<Arc<ScopeSpans>, StoreError> {
        if let Some(known) = self.scopes.get(&id) {
            return Ok(Arc::clone(known));
        }
        let mut statement = self.db.prepare_cached("SELECT body FROM scope WHERE id = ?1")?;
        let scope = Arc::new(decode(statement.query_row([id], |row| row.get(0))?)?);
        self.scopes.insert(id, Arc::clone(&scope));
        Ok(scope)
    }

    /// The number of a name, of a service or a span; `None` when no telemetry carried it.
    pub(super) fn service_id(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let digest = crate::store::intern::digest(name.as_bytes());
        let mut statement = self.db.prepare_cached("SELECT id FROM text WHERE digest = ?1 AND body = ?2")?;
        Ok(statement.query_row(rusqlite::params![digest, name], |row| row.get(0)).optional()?)
    }
}

fn decode<M: Message + Default>(body: Vec<u8>) -> Result<M, StoreError> {
    M::decode(body.as_slice()).map_err(|e| StoreError::Damaged(e.to_string()))
}
