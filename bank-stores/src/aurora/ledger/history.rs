//! What accounts held in the past, and what they hold now.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::AuroraLedger;
use super::columns::select_entries;
use crate::aurora::error::{damaged, from_sqlx};
use crate::ledger::reading::{MANY, direction_name, no_account, page_start};
use crate::ledger::rows::entry;
use crate::ledger::{Account, AccountId, AsOf, Entry, Period, Statement};
use crate::{Cursor, Direction, Error, Money, Page, PageRequest, Result, Timestamp};

impl AuroraLedger {
    /// The accounts without what is held by holds whose deadline has come: the writer ends those a moment later.
    pub(super) async fn without_due(
        &self,
        connection: &mut PgConnection,
        mut accounts: Vec<Account>,
    ) -> Result<Vec<Account>> {
        let held = accounts.iter().filter(|account| account.held.is_positive());
        let ids: Vec<String> = held.map(|account| account.id.as_str().to_owned()).collect();
        if ids.is_empty() {
            return Ok(accounts);
        }
        let rows = sqlx::query(
            "SELECT a.id, sum(h.amount - h.captured)::bigint FROM accounts a JOIN holds h ON h.account = a.sequence
             WHERE a.id = ANY($1) AND h.status = 0 AND h.deadline <= $2 GROUP BY a.id",
        )
        .bind(ids)
        .bind(self.now().micros())
        .fetch_all(connection)
        .await
        .map_err(from_sqlx)?;
        for row in &rows {
            let (id, due): (&str, i64) = (row.get(0), row.get(1));
            for account in accounts.iter_mut().filter(|account| account.id.as_str() == id) {
                // Between the two reads the writer may have ended some of them.
                let held = account.held.minor().saturating_sub(due).max(0);
                account.set_balance(account.balance.minor(), held, account.entry_count);
            }
        }
        Ok(accounts)
    }

    /// A page of the entries with numbers above `bounds.0` and up to `bounds.1`.
    pub(super) async fn entries_between(
        &self,
        connection: &mut PgConnection,
        account: &AccountId,
        bounds: (i64, i64),
        page: &PageRequest,
        query: &[&str],
    ) -> Result<Page<Entry>> {
        let (from, limit) = page_start(page, query)?;
        let sql = match page.direction {
            Direction::Forward => select_entries!(
                "entries e",
                "WHERE e.account = (SELECT sequence FROM accounts WHERE id = $1) AND e.number > $2 AND e.number <= $3
                 ORDER BY e.number LIMIT $4"
            ),
            Direction::Backward => select_entries!(
                "entries e",
                "WHERE e.account = (SELECT sequence FROM accounts WHERE id = $1) AND e.number > $2 AND e.number <= $3
                 ORDER BY e.number DESC LIMIT $4"
            ),
        };
        let (low, high) = match page.direction {
            Direction::Forward => (bounds.0.max(from), bounds.1),
            Direction::Backward => (bounds.0, bounds.1.min(from.saturating_sub(1))),
        };
        let rows = sqlx::query(sql)
            .bind(account.as_str())
            .bind(low)
            .bind(high)
            .bind(limit)
            .fetch_all(connection)
            .await
            .map_err(from_sqlx)?;
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(entries, page.limit, |last| Cursor::new(query, &last.number.to_string())))
    }

    pub(super) async fn balance_as_of(
        &self,
        connection: &mut PgConnection,
        account: &AccountId,
        at: AsOf,
    ) -> Result<Money> {
        match at {
            AsOf::Booked(at) => booked_by(connection, account, at).await.map(|(_, balance)| balance),
            AsOf::Value(at) => valued_by(connection, account, at).await,
        }
    }

    pub(super) async fn statement_of(
        &self,
        connection: &mut PgConnection,
        account: &AccountId,
        period: Period,
        page: &PageRequest,
    ) -> Result<Statement> {
        let before = |at: Timestamp| Timestamp::from_micros(at.micros().saturating_sub(1));
        let (first, opening) = booked_by(connection, account, before(period.from)).await?;
        let (last, closing) = booked_by(connection, account, before(period.until)).await?;
        let (from, until) = (period.from.to_string(), period.until.to_string());
        let query = ["ledger.statement", account.as_str(), &from, &until, direction_name(page.direction)];
        let entries = self.entries_between(connection, account, (first, last), page, &query).await?;
        Ok(Statement::new(account.clone(), period, opening, closing, (last - first) as u64, entries))
    }
}

/// A query about an account, `$1`, as it was booked by `$2`: `booked` has its sequence, its currency, how many entries it has now,
/// and the number and the balance of its last entry until then. Times of booking never go back from one entry to the next, so
/// that it is found by halving.
macro_rules! as_booked {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE own AS (
                 SELECT a.sequence AS account, a.currency, b.entries FROM accounts a JOIN balances b ON b.account = a.sequence
                 WHERE a.id = $1
             ), look (low, high) AS (
                 SELECT 0::bigint, entries FROM own
                 UNION ALL
                 SELECT CASE WHEN p.booked_at <= $2 THEN e.number ELSE look.low END,
                        CASE WHEN p.booked_at <= $2 THEN look.high ELSE e.number - 1 END
                 FROM look CROSS JOIN own
                 JOIN entries e ON e.account = own.account AND e.number = (look.low + look.high + 1) / 2
                 JOIN postings p ON p.sequence = e.posting WHERE look.low < look.high
             ), booked AS MATERIALIZED (
                 SELECT own.account, own.currency, own.entries, look.low AS number, coalesce(e.balance, 0) AS balance
                 FROM look CROSS JOIN own
                 LEFT JOIN entries e ON e.account = own.account AND e.number = look.low WHERE look.low = look.high
             )",
            $rest
        )
    };
}

async fn booked_by(
    connection: &mut PgConnection,
    account: &AccountId,
    at: Timestamp,
) -> Result<(i64, Money)> {
    let sql = as_booked!(" SELECT currency, balance, number FROM booked");
    let query = sqlx::query(sql).bind(account.as_str()).bind(at.micros());
    let row = query.fetch_optional(connection).await.map_err(from_sqlx)?;
    let Some(row) = row else { return Err(no_account(account)) };
    let currency = row.get::<&str, _>(0).parse().map_err(damaged)?;
    Ok((row.get(2), Money::from_minor(row.get(1), currency)))
}

/// What was booked by then, without what counts from later, and with what was booked later and counts from before.
async fn valued_by(connection: &mut PgConnection, account: &AccountId, at: Timestamp) -> Result<Money> {
    // The sum of some entries may leave 64 bits where that of all does not. Each subquery is read for the one row of `chosen`,
    // and not at all where its condition on that row does not hold.
    let sql = as_booked!(
        ", chosen AS MATERIALIZED (
              SELECT *, entries <= $3 OR $3 = (SELECT count(*) FROM (
                  SELECT 1 FROM postings WHERE booked_at <> value_at AND greatest(booked_at, value_at) > $2 LIMIT $3
              ) AS later) AS by_entries FROM booked
          )
          SELECT b.currency, b.balance, coalesce((
              SELECT sum(CASE WHEN d.booked_at <= $2 THEN -d.amount::numeric ELSE d.amount END) FROM (
                  SELECT e.amount, p.booked_at, p.value_at FROM entries e JOIN postings p ON p.sequence = e.posting
                  WHERE b.by_entries AND e.account = b.account
                  UNION ALL
                  SELECT e.amount, p.booked_at, p.value_at FROM (
                      SELECT sequence, booked_at, value_at FROM postings
                      WHERE NOT b.by_entries AND booked_at <> value_at AND greatest(booked_at, value_at) > $2 OFFSET 0
                  ) p JOIN entries e ON e.posting = p.sequence AND e.account = b.account
              ) d WHERE (d.booked_at <= $2) <> (d.value_at <= $2)), 0)::text
          FROM chosen b"
    );
    let row = sqlx::query(sql)
        .bind(account.as_str())
        .bind(at.micros())
        .bind(MANY)
        .fetch_optional(connection)
        .await
        .map_err(from_sqlx)?;
    let Some(row) = row else { return Err(no_account(account)) };
    let currency = row.get::<&str, _>(0).parse().map_err(damaged)?;
    let dated: i128 =
        row.get::<&str, _>(2).parse().map_err(|_| damaged(Error::invalid("amount", "no sum")))?;
    let minor = i64::try_from(i128::from(row.get::<i64, _>(1)) + dated)
        .map_err(|_| Error::invalid("at", "the balance then is larger than can be held"))?;
    Ok(Money::from_minor(minor, currency))
}
