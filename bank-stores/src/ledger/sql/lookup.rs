//! One account with its open holds, and one posting with all that belongs to it.

use super::columns::{due, select_accounts, select_entries, select_postings};
use super::rows::{self, Record, entry, posting_record};
use super::{Session as _, Store};
use crate::error::damaged;
use crate::ledger::reading::{direction_name, no_account, page_start};
use crate::ledger::{AccountId, ChangeId, OpenHolds, PostingId, PostingRecord};
use crate::{Consistency, Cursor, Direction, Error, ErrorKind, Page, PageRequest, Result};

/// A query for the account `$1` with those of its holds that are open at `$2`: a row each, or one where there is none.
macro_rules! with_holds {
    ($behind:literal, $rest:literal) => {
        select_accounts!(
            concat!(due!("$2"), ", h.sequence AS hold_sequence, h.id AS hold_id, a.id AS hold_account, a.currency AS hold_currency,
               h.amount AS hold_amount, h.captured AS hold_captured, CAST(h.status AS bigint) AS hold_status,
               h.placed_at AS hold_placed_at, h.deadline AS hold_deadline, h.content AS hold_content,
               h.ended_by AS hold_ended_by, h.ended_at AS hold_ended_at"),
            concat!(
                "{accounts} a LEFT JOIN {holds} h ON h.account = a.sequence AND h.status = 0
                     AND (h.deadline IS NULL OR h.deadline > $2) AND h.sequence ",
                $behind,
                " $3"
            ),
            $rest
        )
    };
}

/// The columns of a row whose names begin with `hold_`.
struct OfHold<'r, R>(&'r R);

impl<R: Record> Record for OfHold<'_, R> {
    fn optional_text(&self, column: &str) -> Result<Option<&str>> {
        self.0.optional_text(&format!("hold_{column}"))
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>> {
        self.0.optional_number(&format!("hold_{column}"))
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        self.0.optional_bytes(&format!("hold_{column}"))
    }
}

/// One statement, so that account and holds are of one moment.
pub(crate) async fn open_holds(
    store: &impl Store,
    id: &AccountId,
    page: PageRequest,
    read: Consistency,
) -> Result<OpenHolds> {
    let query = ["ledger.holds", id.as_str(), direction_name(page.direction)];
    let (from, limit) = page_start(&page, &query)?;
    let sql = match page.direction {
        Direction::Forward => with_holds!(">", "WHERE a.id = $1 ORDER BY h.sequence LIMIT $4"),
        Direction::Backward => with_holds!("<", "WHERE a.id = $1 ORDER BY h.sequence DESC LIMIT $4"),
    };
    let values = vec![id.as_str().into(), store.now().into(), from.into(), limit.into()];
    let rows = store.session(read).await?.rows(sql, values).await?;
    let Some(first) = rows.first() else { return Err(no_account(id)) };
    let account = rows::standing(first)?.account;
    let mut holds = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.optional_number("hold_sequence")?.is_some() {
            holds.push(rows::hold(&OfHold(row))?);
        }
    }
    let page = Page::cut(holds, page.limit, |last| Cursor::new(&query, &last.sequence.to_string()));
    Ok(OpenHolds::new(account, page.map(|held| held.hold)))
}

pub(crate) async fn posting(store: &impl Store, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
    let mut session = store.session(read).await?;
    let sql = select_postings!(
        ", r.id AS reversed_by",
        "LEFT JOIN {postings} r ON r.reverses = p.sequence WHERE p.id = $1"
    );
    let Some(row) = session.row(sql, vec![id.as_str().into()]).await? else {
        return Err(
            Error::new(ErrorKind::NotFound, format!("there is no posting {id}")).with_field("posting")
        );
    };
    let sql = select_entries!("{entries} e", "WHERE e.posting = $1 ORDER BY e.leg");
    let entries = session.rows(sql, vec![row.number("sequence")?.into()]).await?;
    let entries = entries.iter().map(entry).collect::<Result<Vec<_>>>()?;
    let reversed_by = row.optional_text("reversed_by")?.map(PostingId::new).transpose().map_err(damaged)?;
    let mut posting = posting_record(&row, entries)?;
    posting.reversed_by = reversed_by;
    let sql = "SELECT id, kind, state, booked_at FROM {changes} WHERE posting = $1 ORDER BY sequence";
    for row in session.rows(sql, vec![(posting.sequence as i64).into()]).await? {
        let id = ChangeId::new(row.text("id")?).map_err(damaged)?;
        posting.add(row.text("kind")?, id, rows::addition(&row)?, row.time("booked_at")?).map_err(damaged)?;
    }
    Ok(posting)
}
