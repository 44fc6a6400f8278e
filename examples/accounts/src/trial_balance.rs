//! The totals of the whole ledger, as an auditor reads them.

use std::sync::Arc;

use bank_sdk::{Call, Empty, Problem};
use bank_stores::{Consistency, Currency, ledger};

use crate::service::Accounts;
use crate::wire::{Chain, CurrencyTotal, TrialBalance};

impl Accounts {
    pub(crate) async fn trial_balance(self: Arc<Self>, _: Call<Empty>) -> Result<TrialBalance, Problem> {
        let totals = self.ledger.trial_balance(Consistency::Current).await?;
        let chain = self.ledger.chain().await?;
        Ok(TrialBalance {
            balanced: totals.is_balanced(),
            currencies: totals.currencies.iter().map(total).collect(),
            sequence: totals.sequence,
            chain: Chain { sequence: chain.sequence, hash: chain.hash, pending: chain.pending },
        })
    }
}

fn total(total: &ledger::CurrencyTotal) -> CurrencyTotal {
    CurrencyTotal {
        currency: total.currency,
        debits: decimal(total.debits, total.currency),
        credits: decimal(total.credits, total.currency),
        total: decimal(total.total, total.currency),
        accounts: total.accounts,
        postings: total.postings,
    }
}

/// A sum of many amounts may be larger than any one amount, so that it is written from 128 bits.
fn decimal(minor: i128, currency: Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let units = 10_u128.pow(currency.minor_units());
    let (whole, rest) = (minor.unsigned_abs() / units, minor.unsigned_abs() % units);
    match currency.minor_units() as usize {
        0 => format!("{sign}{whole}"),
        width => format!("{sign}{whole}.{rest:0width$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_written_with_the_decimals_of_their_currency() {
        assert_eq!(decimal(-5, Currency::EUR), "-0.05");
        assert_eq!(decimal(0, Currency::EUR), "0.00");
        assert_eq!(decimal(1_234, Currency::JPY), "1234");
        // Ten times what one amount can be.
        assert_eq!(decimal(i128::from(i64::MAX) * 10, Currency::KWD), "92233720368547758.070");
    }
}
