//! A service with a ledger, behind a gateway for development: `cargo run -p hello-ledger`.

use std::sync::Arc;

use bank_sdk::{Api, BankService, Call, DerivationKey, Empty, Endpoint, Endpoints, Problem, Service};
use bank_stores::ledger::{AccountId, Floor, Ledger, OpenAccount, Posting, PostingId};
use bank_stores::{Consistency, Currency, LedgerExt, Money, Random, SystemRandom, connect};

const DEPOSIT: Endpoint<Money, Money> = Endpoint::post("/v1/deposits").scope("deposit").idempotency_key();
const BALANCE: Endpoint<Empty, Money> = Endpoint::get("/v1/balance").scope("read");

struct Bank {
    ledger: Arc<dyn Ledger>,
    derivation: DerivationKey,
}

impl Bank {
    async fn deposit(self: Arc<Self>, call: Call<Money>) -> Result<Money, Problem> {
        if !call.input.is_positive() {
            return Err(Problem::bad_request("a deposit is more than nothing"));
        }
        let own = AccountId::new(call.subject()?)?;
        // To open an account once more changes nothing.
        self.ledger.open(OpenAccount::new(own.clone(), Currency::EUR)).await?;
        // The caller's key is no id: two callers who choose the same key would name one posting. This id comes from the
        // caller, the operation and the key, under a secret. The same call again is the same posting, which is booked once.
        let id = call.key()?.derive_id(&self.derivation, "dep_", call.subject()?, &call.operation);
        let posting = Posting::new(PostingId::new(&id)?, "deposit");
        let receipt = self.ledger.post(posting.transfer(AccountId::new("cash")?, own, call.input)).await?;
        receipt.entries.last().map(|entry| entry.balance_after).ok_or_else(Problem::internal)
    }

    async fn balance(self: Arc<Self>, call: Call<Empty>) -> Result<Money, Problem> {
        let own = AccountId::new(call.subject()?)?;
        Ok(self.ledger.account(&own, Consistency::Current).await?.balance)
    }
}

impl BankService for Bank {
    fn api() -> Api {
        Api::new("hello-ledger").endpoint(DEPOSIT.declare()).endpoint(BALANCE.declare())
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new().bind(DEPOSIT, Self::deposit).bind(BALANCE, Self::balance)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // With `sqlite:data/ledger.db` the money stays. Then keep the secret too: under another one a repeated call is a new posting.
    let ledger = connect::ledger("memory:").await?;
    let mut secret = [0; 32];
    SystemRandom::new().fill(&mut secret);
    ledger.open(OpenAccount::new(AccountId::new("cash")?, Currency::EUR).floor(Floor::None)).await?;
    let service = Service::local(Bank { ledger, derivation: DerivationKey::new(&secret) })?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    Ok(bank_gateway::dev(service).listen(address).await?)
}
