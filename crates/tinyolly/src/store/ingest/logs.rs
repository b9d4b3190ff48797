//! Log records.

use rusqlite::{Connection, params};

use super::{Ingest, Source, Stored};
use crate::store::rows::LogRow;
use crate::store::tally::{SEVERITY_ERROR, Signal};

impl Ingest {
    pub(super) fn logs(
        &mut self,
        db: &Connection,
        source: Source,
        rows: &[LogRow],
        stored: &mut Stored,
    ) -> rusqlite::Result<()> {
        let mut insert = db.prepare_cached(
            "INSERT INTO log(id, time_ns, severity, service, resource, scope, trace_id, span_id, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for row in rows {
            insert.execute(params![
                self.sequence.log,
                row.time_ns as i64,
                row.severity,
                source.service,
                source.resource,
                source.scope,
                row.trace_id,
                row.span_id,
                row.detail
            ])?;
            self.sequence.log += 1;
            stored.logs += 1;
            self.tally.add(Signal::Logs, row.time_ns as i64, source.service, row.severity >= SEVERITY_ERROR);
        }
        Ok(())
    }
}
