//! One account with its open holds, and one posting with all that belongs to it.

use super::columns::{select_accounts, select_entries};
use super::rows::{self, Record, entry};
use super::{Session as _, Store};
use crate::error::damaged;
use crate::ledger::reading::{direction_name, no_account, page_start};
use crate::ledger::{AccountId, HoldId, OpenHolds, PostingId, PostingRecord};
use crate::{Consistency, Cursor, Direction, Error, ErrorKind, Page, PageRequest, Result};

/// A query for the account `$1` with those of its holds that are open at `$2`: a row each, or one where there is none.
macro_rules! with_holds {
    ($behind:literal, $rest:literal) => {
        select_accounts!(
            ", (SELECT CAST(coalesce(sum(d.amount - d.captured), 0) AS bigint) FROM {holds} d
                WHERE d.account = a.sequence AND d.status = 0 AND d.deadline <= $2) AS due,
               h.sequence AS hold_sequence, h.id AS hold_id, a.id AS hold_account, a.currency AS hold_currency,
               h.amount AS hold_amount, h.captured AS hold_captured, CAST(h.status AS bigint) AS hold_status,
               h.placed_at AS hold_placed_at, h.deadline AS hold_deadline, h.content AS hold_content,
               h.ended_by AS hold_ended_by, h.ended_at AS hold_ended_at",
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
    let mut account = rows::account(first)?.account;
    let held = account.held.minor().saturating_sub(first.number("due")?);
    account.set_balance(account.balance.minor(), held, account.entry_count);
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
    let sql = "SELECT p.sequence, p.kind, p.reference, p.metadata, p.booked_at, p.value_at, h.id AS hold,
                      u.id AS reverses, r.id AS reversed_by
               FROM {postings} p LEFT JOIN {holds} h ON h.sequence = p.hold
               LEFT JOIN {postings} u ON u.sequence = p.reverses LEFT JOIN {postings} r ON r.reverses = p.sequence
               WHERE p.id = $1";
    let Some(row) = session.row(sql, vec![id.as_str().into()]).await? else {
        return Err(
            Error::new(ErrorKind::NotFound, format!("there is no posting {id}")).with_field("posting")
        );
    };
    let sequence = row.sequence("sequence")?;
    let sql = select_entries!("{entries} e", "WHERE e.posting = $1 ORDER BY e.leg");
    let entries = session.rows(sql, vec![(sequence as i64).into()]).await?;
    let entries = entries.iter().map(entry).collect::<Result<Vec<_>>>()?;
    let mut posting = PostingRecord::new(id.clone(), sequence, row.text("kind")?.to_owned(), entries);
    let other = |column: &str| row.optional_text(column)?.map(PostingId::new).transpose().map_err(damaged);
    (posting.booked_at, posting.value_at) = (row.time("booked_at")?, row.time("value_at")?);
    posting.reference = row.optional_text("reference")?.map(ToOwned::to_owned);
    if let Some(metadata) = row.optional_text("metadata")? {
        posting.metadata = serde_json::from_str(metadata)
            .map_err(|source| damaged(Error::invalid("metadata", "not JSON").with_source(source)))?;
    }
    posting.hold = row.optional_text("hold")?.map(HoldId::new).transpose().map_err(damaged)?;
    (posting.reverses, posting.reversed_by) = (other("reverses")?, other("reversed_by")?);
    Ok(posting)
}
