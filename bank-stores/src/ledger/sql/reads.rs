//! What every engine's reads have in common.

use super::columns::{due, select_accounts, select_holds};
use super::history::{balance_as_of, entries_between, statement_of};
use super::rows::{self, Record as _};
use super::{Session, Store};
use crate::ledger::book::HeldHold;
use crate::ledger::reading::{direction_name, no_account, no_hold, page_start};
use crate::ledger::{Account, AccountId, AsOf, Entry, Hold, HoldId, HoldStatus, OwnerId, Period, Statement};
use crate::{Consistency, Currency, Cursor, Direction, Error, ErrorKind, Money, Page, PageRequest, Result};

pub(crate) async fn account(store: &impl Store, id: &AccountId, read: Consistency) -> Result<Account> {
    let mut session = store.session(read).await?;
    let sql = select_accounts!(due!("$2"), "{accounts} a", "WHERE a.id = $1");
    let row = session.row(sql, vec![id.as_str().into(), store.now().into()]).await?;
    let Some(row) = row else { return Err(no_account(id)) };
    rows::standing(&row).map(|held| held.account)
}

pub(crate) async fn accounts(
    store: &impl Store,
    owner: &OwnerId,
    page: PageRequest,
    read: Consistency,
) -> Result<Page<Account>> {
    let query = ["ledger.accounts", owner.as_str(), direction_name(page.direction)];
    let (from, limit) = page_start(&page, &query)?;
    let sql = match page.direction {
        Direction::Forward => select_accounts!(
            due!("$4"),
            "{accounts} a",
            "WHERE a.owner = $1 AND a.sequence > $2 ORDER BY a.sequence LIMIT $3"
        ),
        Direction::Backward => select_accounts!(
            due!("$4"),
            "{accounts} a",
            "WHERE a.owner = $1 AND a.sequence < $2 ORDER BY a.sequence DESC LIMIT $3"
        ),
    };
    let mut session = store.session(read).await?;
    let values = vec![owner.as_str().into(), from.into(), limit.into(), store.now().into()];
    let rows = session.rows(sql, values).await?;
    let held = rows.iter().map(rows::standing).collect::<Result<Vec<_>>>()?;
    let page = Page::cut(held, page.limit, |last| Cursor::new(&query, &last.sequence.to_string()));
    Ok(page.map(|held| held.account))
}

pub(crate) async fn held(session: &mut impl Session, id: &HoldId) -> Result<Option<HeldHold>> {
    let sql = select_holds!("{holds} h", "WHERE h.id = $1");
    session.row(sql, vec![id.as_str().into()]).await?.as_ref().map(rows::hold).transpose()
}

pub(crate) async fn hold(store: &impl Store, id: &HoldId, read: Consistency) -> Result<Hold> {
    let mut session = store.session(read).await?;
    let Some(HeldHold { hold, .. }) = held(&mut session, id).await? else { return Err(no_hold(id)) };
    let captured = hold.captured.minor();
    Ok(if hold.is_due(store.now()) { hold.with(captured, HoldStatus::Expired) } else { hold })
}

pub(crate) async fn entries(
    store: &impl Store,
    account: &AccountId,
    page: PageRequest,
    read: Consistency,
) -> Result<Page<Entry>> {
    let query = ["ledger.entries", account.as_str(), direction_name(page.direction)];
    page_start(&page, &query)?;
    let mut session = store.session(read).await?;
    entries_between(&mut session, account, (0, i64::MAX), &page, &query).await
}

pub(crate) async fn balance_at(
    store: &impl Store,
    account: &AccountId,
    at: AsOf,
    read: Consistency,
) -> Result<Money> {
    balance_as_of(&mut store.session(read).await?, account, at).await
}

pub(crate) async fn statement(
    store: &impl Store,
    account: &AccountId,
    period: Period,
    page: PageRequest,
    read: Consistency,
) -> Result<Statement> {
    period.validate()?;
    page.validate()?;
    statement_of(&mut store.session(read).await?, account, period, &page).await
}

/// Refuses a ledger whose amounts this program would read as other ones.
pub(crate) async fn check_currencies(store: &impl Store) -> Result<()> {
    let mut session = store.session(Consistency::Current).await?;
    let sql = "SELECT code, CAST(decimals AS bigint) AS decimals FROM {currencies} ORDER BY code";
    for row in session.rows(sql, Vec::new()).await? {
        let (code, decimals) = (row.text("code")?, row.number("decimals")?);
        let message = match code.parse::<Currency>() {
            Ok(known) if i64::from(known.minor_units()) == decimals => continue,
            Ok(known) => {
                let ours = known.minor_units();
                format!("the ledger's amounts in {code} have {decimals} decimals, this program's have {ours}")
            }
            Err(_) => format!(
                "the ledger has accounts in {code}, which this program does not know: use a newer program"
            ),
        };
        return Err(Error::new(ErrorKind::Denied, message));
    }
    Ok(())
}
