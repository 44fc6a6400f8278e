//! What accounts held in the past, and what they hold now.

use super::Session;
use super::columns::select_entries;
use super::rows::{Record as _, currency, entry};
use crate::ledger::reading::{MANY, direction_name, no_account, page_start};
use crate::ledger::{AccountId, AsOf, Entry, Period, Statement};
use crate::{Cursor, Direction, Error, Money, Page, PageRequest, Result, Timestamp};

/// A query about an account, `$1`, as it was booked by `$2`: `booked` has its sequence, how many entries it has now, its currency,
/// and the number and the balance of its last entry until then. Times of booking never go back from one entry to the next, so
/// that it is found by halving.
macro_rules! as_booked {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE own (account, currency, entries) AS (
                 SELECT a.sequence, a.currency, coalesce((
                     SELECT n.number FROM {entries} n WHERE n.account = a.sequence ORDER BY n.number DESC LIMIT 1), 0)
                 FROM {accounts} a WHERE a.id = $1
             ), look (low, high) AS (
                 SELECT CAST(0 AS bigint), entries FROM own
                 UNION ALL
                 SELECT CASE WHEN p.booked_at <= $2 THEN e.number ELSE look.low END,
                        CASE WHEN p.booked_at <= $2 THEN look.high ELSE e.number - 1 END
                 FROM look CROSS JOIN own
                 {join} {entries} e ON e.account = own.account AND e.number = (look.low + look.high + 1) / 2
                 {join} {postings} p ON p.sequence = e.posting WHERE look.low < look.high
             ), booked AS MATERIALIZED (
                 SELECT own.account, own.currency, own.entries, look.low AS number, coalesce(e.balance, 0) AS balance
                 FROM look CROSS JOIN own
                 LEFT JOIN {entries} e ON e.account = own.account AND e.number = look.low WHERE look.low = look.high
             )",
            $rest
        )
    };
}

pub(crate) use as_booked;

/// A page of the entries with numbers above `bounds.0` and up to `bounds.1`.
pub(super) async fn entries_between(
    session: &mut impl Session,
    account: &AccountId,
    bounds: (i64, i64),
    page: &PageRequest,
    query: &[&str],
) -> Result<Page<Entry>> {
    let (from, limit) = page_start(page, query)?;
    let sql = match page.direction {
        Direction::Forward => select_entries!(
            "{entries} e",
            "WHERE e.account = (SELECT sequence FROM {accounts} WHERE id = $1) AND e.number > $2 AND e.number <= $3
             ORDER BY e.number LIMIT $4"
        ),
        Direction::Backward => select_entries!(
            "{entries} e",
            "WHERE e.account = (SELECT sequence FROM {accounts} WHERE id = $1) AND e.number > $2 AND e.number <= $3
             ORDER BY e.number DESC LIMIT $4"
        ),
    };
    let (low, high) = match page.direction {
        Direction::Forward => (bounds.0.max(from), bounds.1),
        Direction::Backward => (bounds.0, bounds.1.min(from.saturating_sub(1))),
    };
    let values = vec![account.as_str().into(), low.into(), high.into(), limit.into()];
    let entries = session.rows(sql, values).await?.iter().map(entry).collect::<Result<Vec<_>>>()?;
    Ok(Page::cut(entries, page.limit, |last| Cursor::new(query, &last.number.to_string())))
}

pub(super) async fn balance_as_of(
    session: &mut impl Session,
    account: &AccountId,
    at: AsOf,
) -> Result<Money> {
    match at {
        AsOf::Booked(at) => booked_by(session, account, at).await.map(|(_, balance)| balance),
        AsOf::Value(at) => valued_by(session, account, at).await,
    }
}

pub(super) async fn statement_of(
    session: &mut impl Session,
    account: &AccountId,
    period: Period,
    page: &PageRequest,
) -> Result<Statement> {
    let before = |at: Timestamp| Timestamp::from_micros(at.micros().saturating_sub(1));
    let (first, opening) = booked_by(session, account, before(period.from)).await?;
    let (last, closing) = booked_by(session, account, before(period.until)).await?;
    let (from, until) = (period.from.to_string(), period.until.to_string());
    let query = ["ledger.statement", account.as_str(), &from, &until, direction_name(page.direction)];
    let entries = entries_between(session, account, (first, last), page, &query).await?;
    Ok(Statement::new(account.clone(), period, opening, closing, (last - first) as u64, entries))
}

async fn booked_by(session: &mut impl Session, account: &AccountId, at: Timestamp) -> Result<(i64, Money)> {
    let sql = as_booked!(" SELECT currency, balance, number FROM booked");
    let row = session.row(sql, vec![account.as_str().into(), at.into()]).await?;
    let Some(row) = row else { return Err(no_account(account)) };
    Ok((row.number("number")?, Money::from_minor(row.number("balance")?, currency(&row)?)))
}

/// What was booked by then, without what counts from later, and with what was booked later and counts from before.
async fn valued_by(session: &mut impl Session, account: &AccountId, at: Timestamp) -> Result<Money> {
    let values = vec![account.as_str().into(), at.into(), MANY.into()];
    let row = session.row(session.dialect().valued, values).await?;
    let Some(row) = row else { return Err(no_account(account)) };
    // The sum of some entries may leave 64 bits where that of all does not.
    let dated = i128::from(row.number("high")?) * (1 << 32) + i128::from(row.number("low")?);
    let minor = i64::try_from(i128::from(row.number("balance")?) + dated)
        .map_err(|_| Error::invalid("at", "the balance then is larger than can be held"))?;
    Ok(Money::from_minor(minor, currency(&row)?))
}
