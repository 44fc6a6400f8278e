//! The ledger's totals: those of the commands in the chain are kept, and what came behind is added up when they are asked for.

use std::collections::BTreeMap;

use super::rows::Record;
use super::{Session, Store, Value};
use crate::ledger::{CurrencyTotal, TrialBalance};
use crate::{Currency, Error, Result};

/// What some commands moved in one currency. Sums are in two halves, the upper and the lower 32 bits, since they may leave 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) currency: String,
    pub(crate) accounts: i64,
    pub(crate) postings: i64,
    pub(crate) debits: (i64, i64),
    pub(crate) credits: (i64, i64),
}

/// A query of what the commands behind one sequence and up to another moved, with `newest` behind it.
macro_rules! moved {
    ($from:literal, $to:literal, $newest:literal) => {
        concat!(
            "SELECT a.currency, CAST(0 AS bigint) AS accounts, count(DISTINCT e.posting) AS postings,
                    CAST(sum(CASE WHEN e.amount < 0 THEN e.amount >> 32 ELSE 0 END) AS bigint) AS debits_high,
                    CAST(sum(CASE WHEN e.amount < 0 THEN e.amount & 4294967295 ELSE 0 END) AS bigint) AS debits_low,
                    CAST(sum(CASE WHEN e.amount > 0 THEN e.amount >> 32 ELSE 0 END) AS bigint) AS credits_high,
                    CAST(sum(CASE WHEN e.amount > 0 THEN e.amount & 4294967295 ELSE 0 END) AS bigint) AS credits_low,
                    ", $newest, " AS newest
             FROM {entries} e {join} {accounts} a ON a.sequence = e.account
             WHERE e.posting > ", $from, " AND e.posting <= ", $to, " GROUP BY a.currency
             UNION ALL
             SELECT a.currency, count(*), 0, 0, 0, 0, 0, ", $newest, " FROM {accounts} a
             WHERE a.sequence > ", $from, " AND a.sequence <= ", $to, " GROUP BY a.currency"
        )
    };
}

fn read(row: &impl Record) -> Result<Moved> {
    Ok(Moved {
        currency: row.text("currency")?.to_owned(),
        accounts: row.number("accounts")?,
        postings: row.number("postings")?,
        debits: (row.number("debits_high")?, row.number("debits_low")?),
        credits: (row.number("credits_high")?, row.number("credits_low")?),
    })
}

/// What the commands behind `from` and up to `to` moved.
pub(crate) async fn moved(store: &impl Store, from: u64, to: u64) -> Result<Vec<Moved>> {
    let sql = moved!("$1", "$2", "CAST(0 AS bigint)");
    store.rows(sql, &[from as i64, to as i64]).await?.iter().map(read).collect()
}

/// Adds what the commands moved that were put into the chain.
pub(crate) async fn add(session: &mut impl Session, moved: &[Moved]) -> Result<()> {
    let sql = "INSERT INTO {totals} AS t (currency, accounts, postings, debits_high, debits_low, credits_high, credits_low)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (currency) DO UPDATE SET
               accounts = t.accounts + excluded.accounts, postings = t.postings + excluded.postings,
               debits_high = t.debits_high + excluded.debits_high + ((t.debits_low + excluded.debits_low) >> 32),
               debits_low = (t.debits_low + excluded.debits_low) & 4294967295,
               credits_high = t.credits_high + excluded.credits_high + ((t.credits_low + excluded.credits_low) >> 32),
               credits_low = (t.credits_low + excluded.credits_low) & 4294967295";
    for one in moved {
        let numbers = [one.accounts, one.postings, one.debits.0, one.debits.1, one.credits.0, one.credits.1];
        let mut values = vec![Value::Text(&one.currency)];
        values.extend(numbers.map(Value::Number));
        session.execute(sql, values).await?;
    }
    Ok(())
}

/// The totals that are kept, and the command up to which they are.
pub(crate) async fn kept(store: &impl Store) -> Result<(u64, Vec<CurrencyTotal>)> {
    let sql =
        "SELECT c.chained, t.currency, t.accounts, t.postings, t.debits_high, t.debits_low, t.credits_high,
                      t.credits_low
               FROM (SELECT max(sequence) AS chained FROM {chain}) c LEFT JOIN {totals} t ON 1 = 1";
    let mut rows = store.rows(sql, &[]).await?;
    let chained = rows.first().map_or(Ok(None), |row| row.optional_number("chained"))?.unwrap_or_default();
    rows.retain(|row| !matches!(row.optional_text("currency"), Ok(None)));
    Ok((chained as u64, sum(rows.iter().map(read))?))
}

/// The totals of the whole ledger. One statement, so that it is one moment.
pub(crate) async fn trial_balance(session: &mut impl Session) -> Result<TrialBalance> {
    let sql = concat!(
        "SELECT currency, accounts, postings, debits_high, debits_low, credits_high, credits_low, {newest} AS newest
         FROM {totals} UNION ALL ",
        moved!("(SELECT coalesce(max(sequence), 0) FROM {chain})", "9223372036854775807", "{newest}")
    );
    let rows = session.rows(sql, Vec::new()).await?;
    let sequence = rows.first().map_or(Ok(0), |row| row.sequence("newest"))?;
    Ok(TrialBalance::new(sum(rows.iter().map(read))?, sequence))
}

/// One total a currency, in the order of their codes.
fn sum(rows: impl Iterator<Item = Result<Moved>>) -> Result<Vec<CurrencyTotal>> {
    let mut totals: BTreeMap<Currency, CurrencyTotal> = BTreeMap::new();
    for moved in rows {
        let moved = moved?;
        let currency = moved.currency.parse().map_err(|error: Error| {
            crate::error::damaged(Error::invalid("currency", moved.currency.clone()).with_source(error))
        })?;
        let whole = |(high, low): (i64, i64)| i128::from(high) * (1 << 32) + i128::from(low);
        let total = totals.entry(currency).or_insert_with(|| CurrencyTotal::zero(currency));
        total.accounts += moved.accounts as u64;
        total.postings += moved.postings as u64;
        total.debits -= whole(moved.debits);
        total.credits += whole(moved.credits);
        total.total = total.credits - total.debits;
    }
    Ok(totals.into_values().collect())
}
