//! Statements, as JSON and as a table.

use std::sync::Arc;
use std::time::Duration;

use bank_sdk::http::{Body, preferred};
use bank_sdk::{Call, Problem, Reply, page};
use bank_stores::ledger::{self, AccountId, Period};
use bank_stores::{Consistency, PageRequest, Timestamp};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response};

use crate::counterparties::Counterparties;
use crate::problems::{invalid, unprocessable};
use crate::service::Accounts;
use crate::table::Table;
use crate::wire::{Statement, StatementOf};

/// The most entries of a statement that is asked for as a table, which has no pages.
const MAX_TABLE: u64 = 50_000;
/// The media type of a statement as a table (RFC 4180 §3).
const TABLE: &str = "text/csv; charset=utf-8; header=present";
/// Between the end of a statement's period and the ledger's cursor.
const END: char = '~';

impl Accounts {
    pub(crate) async fn statement(
        self: Arc<Self>,
        call: Call<StatementOf>,
    ) -> Result<Reply<Statement>, Problem> {
        let StatementOf { id, from, to, limit, after } = &call.input;
        let account = self.own(id, call.subject()?).await?;
        // A later page is of the same period, wherever that ended when the first one was asked for.
        let (end, after) = match after.as_deref().map(end_and_cursor) {
            Some(Some((end, cursor))) => (Some(end), Some(cursor)),
            Some(None) => return Err(invalid("after", "must be a cursor of this statement")),
            None => (None, None),
        };
        let from = from.unwrap_or(account.opened_at);
        let to = match to.or(end) {
            Some(to) => to,
            None => self.until_now(&account.id).await?,
        };
        let period = Period::new(from, to)
            .map_err(|_| unprocessable("invalid_period", "to", "must not lie before `from`"))?;
        if wants_table(&call.headers) {
            return self.table(&account, period).await.map(Reply::raw);
        }
        let page = page::oldest_first(*limit, after)?;
        let read = self.ledger.statement(&account.id, period, page, Consistency::Current).await?;
        let statement = Statement {
            account: account.id.into(),
            from,
            to,
            opening: read.opening,
            closing: read.closing,
            entries: read.entry_count,
            items: Counterparties::new(&self).entries(read.entries.items).await?,
            next: read.entries.next.map(|cursor| format!("{}{END}{}", to.micros(), cursor.as_str())),
        };
        Ok(Reply::new(statement).with_header(VARY, HeaderValue::from_static("accept")))
    }

    /// The end of a period that has everything in it: now, or behind the newest entry, where another process's clock is ahead.
    async fn until_now(&self, account: &AccountId) -> Result<Timestamp, Problem> {
        let newest = PageRequest::first(1).backward();
        let newest = self.ledger.entries(account, newest, Consistency::Current).await?;
        let behind =
            newest.items.first().map(|entry| entry.booked_at.saturating_add(Duration::from_micros(1)));
        Ok(self.clock.now().max(behind.unwrap_or(Timestamp::EPOCH)))
    }

    async fn table(&self, account: &ledger::Account, period: Period) -> Result<Response<Body>, Problem> {
        let mut table = Table::new()?;
        let mut page = PageRequest::first(1_000);
        loop {
            let read = self.ledger.statement(&account.id, period, page.clone(), Consistency::Current).await?;
            if read.entry_count > MAX_TABLE {
                return Err(unprocessable("period_too_long", "to", "must leave at most 50,000 entries"));
            }
            if page.after.is_none() {
                table.opening(period, read.opening)?;
            }
            read.entries.items.iter().try_for_each(|entry| table.entry(entry))?;
            match read.entries.next {
                Some(next) => page = page.after(next),
                None => {
                    table.closing(period, read.closing)?;
                    break;
                }
            }
        }
        let mut response = Response::new(Body::from(table.finish()?));
        for (name, value) in [
            (CONTENT_TYPE, TABLE),
            (CONTENT_DISPOSITION, "attachment; filename=\"statement.csv\""),
            (VARY, "accept"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }
}

/// The end of the period that a cursor belongs to, and the ledger's own cursor; nothing where it is none of ours.
fn end_and_cursor(after: &str) -> Option<(Timestamp, &str)> {
    let (end, cursor) = after.split_once(END)?;
    // Whoever made up a cursor may have made up a time that cannot be written.
    let end = Some(Timestamp::from_micros(end.parse().ok()?)).filter(|end| end.has_wire_form());
    end.map(|end| (end, cursor))
}

/// Whether the caller asks for a table rather than for JSON, which is for everybody who accepts neither.
fn wants_table(headers: &HeaderMap) -> bool {
    preferred(headers, &["application/json", TABLE]) == Some(TABLE)
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn a_table_is_for_who_asks_for_one() {
        let asked = |accept: &'static str| {
            wants_table(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(asked("text/csv") && asked("Text/CSV; header=present, */*;q=0.1"));
        assert!(!asked("*/*") && !asked("application/json, text/csv") && !asked("text/html"));
        assert!(!asked("text/csv;q=0, application/json") && !asked("text/csv;q=0.5, application/json;q=0.6"));
        assert!(asked("application/json;q=0, text/csv") && !asked("*/*, text/csv;q=0"));
        assert!(!wants_table(&HeaderMap::new()));
    }
}
