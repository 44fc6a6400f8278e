//! What accounts held in the past, and what they hold now.

use sqlx::Row;

use super::SqliteLedger;
use super::columns::select_entries;
use crate::embedded::error::{damaged, from_sqlx};
use crate::embedded::json::Rows;
use crate::ledger::reading::{MANY, direction_name, no_account, page_start};
use crate::ledger::rows::entry;
use crate::ledger::{Account, AccountId, AsOf, Entry, Period, Statement};
use crate::{Cursor, Direction, Error, Money, Page, PageRequest, Result, Timestamp};

/// A query about an account, `?1`, as it was booked by `?2`: `booked` has its sequence, how many entries it has now, its currency,
/// and the number and the balance of its last entry until then. Times of booking never go back from one entry to the next, so
/// that it is found by halving.
macro_rules! as_booked {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE own (account, currency, entries) AS (
                 SELECT a.sequence, a.currency, b.entries FROM accounts a JOIN balances b ON b.account = a.sequence
                 WHERE a.id = ?1
             ), look (low, high) AS (
                 SELECT 0, entries FROM own
                 UNION ALL
                 SELECT iif(p.booked_at <= ?2, e.number, low), iif(p.booked_at <= ?2, high, e.number - 1)
                 FROM look CROSS JOIN own
                 CROSS JOIN entries e ON e.account = own.account AND e.number = (low + high + 1) / 2
                 CROSS JOIN postings p ON p.sequence = e.posting WHERE low < high
             ), booked AS (
                 SELECT own.account, own.entries, own.currency, low AS number, coalesce(e.balance, 0) AS balance
                 FROM look CROSS JOIN own
                 LEFT JOIN entries e ON e.account = own.account AND e.number = low WHERE low = high
             )",
            $rest
        )
    };
}

impl SqliteLedger {
    /// The accounts without what is held by holds whose deadline has come: the writer ends those a moment later.
    pub(super) async fn without_due(&self, mut accounts: Vec<Account>) -> Result<Vec<Account>> {
        let mut ids = Rows::new();
        accounts
            .iter()
            .filter(|account| account.held.is_positive())
            .for_each(|account| ids.value(account.id.as_str()));
        if ids.is_empty() {
            return Ok(accounts);
        }
        let rows = sqlx::query(
            "SELECT a.id, sum(h.amount - h.captured) FROM jsonb_each(?1) j CROSS JOIN accounts a ON a.id = j.value
             CROSS JOIN holds h ON h.account = a.sequence WHERE h.status = 0 AND h.deadline <= ?2 GROUP BY a.id",
        )
        .bind(ids.json())
        .bind(self.now().micros())
        .fetch_all(self.database.readers())
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
        account: &AccountId,
        bounds: (i64, i64),
        page: &PageRequest,
        query: &[&str],
    ) -> Result<Page<Entry>> {
        let (from, limit) = page_start(page, query)?;
        let sql = match page.direction {
            Direction::Forward => select_entries!(
                "entries e",
                "WHERE e.account = (SELECT sequence FROM accounts WHERE id = ?1) AND e.number > ?2 AND e.number <= ?3
                 ORDER BY e.number LIMIT ?4"
            ),
            Direction::Backward => select_entries!(
                "entries e",
                "WHERE e.account = (SELECT sequence FROM accounts WHERE id = ?1) AND e.number > ?2 AND e.number <= ?3
                 ORDER BY e.number DESC LIMIT ?4"
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
            .fetch_all(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(entries, page.limit, |last| Cursor::new(query, &last.number.to_string())))
    }

    pub(super) async fn balance_as_of(&self, account: &AccountId, at: AsOf) -> Result<Money> {
        match at {
            AsOf::Booked(at) => self.booked_by(account, at).await.map(|(_, balance)| balance),
            AsOf::Value(at) => self.valued_by(account, at).await,
        }
    }

    pub(super) async fn statement_of(
        &self,
        account: &AccountId,
        period: Period,
        page: &PageRequest,
    ) -> Result<Statement> {
        let before = |at: Timestamp| Timestamp::from_micros(at.micros().saturating_sub(1));
        let (first, opening) = self.booked_by(account, before(period.from)).await?;
        let (last, closing) = self.booked_by(account, before(period.until)).await?;
        let (from, until) = (period.from.to_string(), period.until.to_string());
        let query = ["ledger.statement", account.as_str(), &from, &until, direction_name(page.direction)];
        let entries = self.entries_between(account, (first, last), page, &query).await?;
        Ok(Statement::new(account.clone(), period, opening, closing, (last - first) as u64, entries))
    }

    async fn booked_by(&self, account: &AccountId, at: Timestamp) -> Result<(i64, Money)> {
        let sql = as_booked!(" SELECT currency, balance, number FROM booked");
        let query = sqlx::query(sql).bind(account.as_str()).bind(at.micros());
        let row = query.fetch_optional(self.database.readers()).await.map_err(from_sqlx)?;
        let Some(row) = row else { return Err(no_account(account)) };
        let currency = row.get::<&str, _>(0).parse().map_err(damaged)?;
        Ok((row.get(2), Money::from_minor(row.get(1), currency)))
    }

    /// What was booked by then, without what counts from later, and with what was booked later and counts from before.
    async fn valued_by(&self, account: &AccountId, at: Timestamp) -> Result<Money> {
        // High and low halves apart: the sum of some entries may leave 64 bits where that of all does not.
        let sql = as_booked!(
            ", chosen AS MATERIALIZED (
                 SELECT account, entries <= ?3 OR ?3 = (SELECT count(*) FROM (
                     SELECT 1 FROM postings WHERE booked_at <> value_at AND max(booked_at, value_at) > ?2 LIMIT ?3
                 )) AS by_entries FROM booked
             ), dated AS (
                 SELECT e.amount, p.booked_at, p.value_at FROM chosen CROSS JOIN entries e ON e.account = chosen.account
                 CROSS JOIN postings p ON p.sequence = e.posting WHERE chosen.by_entries
                 UNION ALL
                 SELECT e.amount, p.booked_at, p.value_at FROM chosen CROSS JOIN postings p
                 CROSS JOIN entries e ON e.posting = p.sequence AND e.account = chosen.account
                 WHERE NOT chosen.by_entries AND p.booked_at <> p.value_at AND max(p.booked_at, p.value_at) > ?2
             ), halves AS (
                 SELECT iif(booked_at <= ?2, -1, 1) AS sign, amount >> 32 AS high, amount & 4294967295 AS low
                 FROM dated WHERE (booked_at <= ?2) <> (value_at <= ?2)
             )
             SELECT currency, balance, coalesce((SELECT sum(sign * high) FROM halves), 0),
                    coalesce((SELECT sum(sign * low) FROM halves), 0) FROM booked"
        );
        let row = sqlx::query(sql)
            .bind(account.as_str())
            .bind(at.micros())
            .bind(MANY)
            .fetch_optional(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        let Some(row) = row else { return Err(no_account(account)) };
        let currency = row.get::<&str, _>(0).parse().map_err(damaged)?;
        let dated = i128::from(row.get::<i64, _>(2)) * (1 << 32) + i128::from(row.get::<i64, _>(3));
        let minor = i64::try_from(i128::from(row.get::<i64, _>(1)) + dated)
            .map_err(|_| Error::invalid("at", "the balance then is larger than can be held"))?;
        Ok(Money::from_minor(minor, currency))
    }
}
