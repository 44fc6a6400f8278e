//! `kill -9` at any moment: no transfer is lost, none is made twice, the books balance, and each side is told once.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bank_tests::{
    Bank, Client, Customer, Request, Response, Seeded, Shape, cents, euros, program, until, until_ok,
};
use serde_json::{Value, json};

const ROUNDS: usize = 20;
const CUSTOMERS: usize = 4;
const START: i64 = 1_000_00;

/// A transfer that somebody asked for.
#[derive(Clone, Debug)]
struct Order {
    customer: usize,
    key: String,
    body: Value,
    /// What the first answer said, where one came.
    answered: Option<(u16, Vec<u8>)>,
}

struct Cast {
    customers: Vec<(Customer, String)>,
    orders: Vec<Order>,
}

impl Cast {
    fn new(bank: &Bank) -> Self {
        Self { customers: (0..CUSTOMERS).map(|_| bank.customer_with(START)).collect(), orders: Vec::new() }
    }

    fn send(&self, client: &Client, order: &Order) -> std::io::Result<Response> {
        let token = &self.customers[order.customer].0.access_token;
        client.try_send(Request::post("/v1/transfers").key(&order.key).bearer(token).json(&order.body))
    }

    /// Transfers of all customers at once until the kill, each sent once.
    fn burst(&mut self, bank: &Bank, round: usize, seeds: &mut Seeded, kill: impl FnOnce(&AtomicBool)) {
        let (over, made) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let seeds: Vec<u64> = (0..CUSTOMERS).map(|_| seeds.draw()).collect();
        std::thread::scope(|scope| {
            for (customer, seed) in seeds.into_iter().enumerate() {
                let (cast, over, made, client) = (&*self, &over, &made, bank.client());
                scope.spawn(move || {
                    let mut n = 0_u64;
                    while !over.load(Ordering::SeqCst) && n < 60 {
                        // Amounts that differ name their transfers in the balances; some are more than there is.
                        let chance = seed.wrapping_mul(n + 1) >> 7;
                        let to = (customer + 1 + (chance % (CUSTOMERS as u64 - 1)) as usize) % CUSTOMERS;
                        let amount =
                            if chance.is_multiple_of(13) { 50_000_00 } else { 1 + (chance % 997) as i64 };
                        let (from, to) = (&cast.customers[customer].1, &cast.customers[to].1);
                        let body = json!({ "from": from, "to": to, "amount": euros(amount) });
                        let mut order =
                            Order { customer, key: format!("r{round}-{n}"), body, answered: None };
                        order.answered = cast
                            .send(&client, &order)
                            .ok()
                            .filter(|answer| answer.status == 201)
                            .map(|a| (a.status, a.body));
                        made.lock().unwrap().push(order);
                        n += 1;
                    }
                });
            }
            kill(&over);
        });
        self.orders.extend(made.into_inner().unwrap());
    }

    /// Repeats every order of a round until it is answered. What was answered before is answered alike.
    fn repeat(&self, bank: &Bank, since: usize) -> Vec<Value> {
        let orders = &self.orders[since..];
        let share = orders.len().div_ceil(8).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = orders
                .chunks(share)
                .map(|orders| {
                    let client = bank.client();
                    scope.spawn(move || {
                        orders.iter().map(|order| self.repeat_one(&client, order)).collect::<Vec<_>>()
                    })
                })
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
        })
    }

    fn repeat_one(&self, client: &Client, order: &Order) -> Value {
        let answer = until("an answer to a repeated transfer", || {
            let answer = self.send(client, order).ok()?;
            assert!(
                [201, 409, 429, 500, 502, 503, 504].contains(&answer.status),
                "{}: {}",
                answer.status,
                answer.text()
            );
            (answer.status == 201).then_some(answer)
        });
        if let Some((status, body)) = &order.answered {
            let (first, again) = (String::from_utf8_lossy(body), answer.text());
            assert_eq!((*status, &*first), (answer.status, &*again), "an answer that was given is kept");
            assert_eq!(answer.header("idempotency-replayed"), Some("true"));
        }
        answer.json()
    }

    /// How each transfer ended in the end.
    fn outcomes(&self, answers: &[Value]) -> HashMap<String, Value> {
        let mut outcomes = HashMap::new();
        for (order, answer) in self.orders.iter().zip(answers) {
            let id = answer["id"].as_str().unwrap().to_owned();
            let last = self.customers[order.customer].0.ended(answer.clone());
            for name in ["from", "to", "amount"] {
                assert_eq!(last[name], order.body[name], "{last}");
            }
            assert!(outcomes.insert(id, last).is_none(), "two keys gave one transfer");
        }
        outcomes
    }

    fn check(&mut self, bank: &Bank, answers: &[Value]) {
        for (customer, account) in &mut self.customers {
            *customer = customer.at(bank.client());
            // Whatever was killed last: every part is asked again, by each gateway.
            for path in ["/v1/me", &format!("/v1/accounts/{account}"), "/v1/transfers", "/v1/notifications"] {
                for _ in bank.parts() {
                    until_ok("a part to be asked again", || customer.try_get(path));
                }
            }
        }
        let outcomes = self.outcomes(answers);
        let completed: Vec<&Value> =
            outcomes.values().filter(|transfer| transfer["status"] == "completed").collect();
        eprintln!("{} transfers, {} of them completed", outcomes.len(), completed.len());
        assert!(completed.len() > ROUNDS, "too few transfers for a test");
        for (customer, account) in &self.customers {
            let side = |name: &str| {
                completed
                    .iter()
                    .filter(|transfer| transfer[name] == **account)
                    .map(|t| cents(&t["amount"]))
                    .sum::<i64>()
            };
            assert_eq!(
                customer.balance(account),
                START - side("from") + side("to"),
                "the balance is what the transfers make it"
            );
            let entries = customer.all(&format!("/v1/accounts/{account}/entries"));
            let postings: HashSet<&str> =
                entries.iter().map(|entry| entry["posting"].as_str().unwrap()).collect();
            assert_eq!(postings.len(), entries.len(), "nothing was booked twice");
            let own = completed
                .iter()
                .filter(|transfer| transfer["from"] == **account || transfer["to"] == **account)
                .count();
            assert_eq!(entries.len(), own + 1, "an entry for each transfer, and the deposit");
            assert_eq!(
                entries.iter().map(|entry| cents(&entry["amount"])).sum::<i64>(),
                customer.balance(account)
            );
            assert!(
                entries.iter().all(|entry| cents(&entry["balance_after"]) >= 0),
                "no account was ever overdrawn"
            );
            let listed: HashSet<String> =
                customer.all("/v1/transfers").iter().map(|t| t["id"].as_str().unwrap().to_owned()).collect();
            let wanted = outcomes.values().filter(|transfer| {
                transfer["from"] == **account
                    || (transfer["to"] == **account && transfer["status"] == "completed")
            });
            assert_eq!(
                listed,
                wanted.map(|transfer| transfer["id"].as_str().unwrap().to_owned()).collect::<HashSet<_>>()
            );
            self.check_notifications(customer, account, &outcomes);
        }
        let trial = bank.staff("auditor").at(bank.client()).get("/v1/ledger/trial-balance").expect(200);
        assert_eq!(trial["balanced"], true, "{trial}");
        assert!(
            trial["currencies"].as_array().unwrap().iter().all(|total| total["total"] == "0.00"),
            "{trial}"
        );
    }

    /// Each side of each completed transfer is told exactly once; a rejected one concerns its sender only.
    fn check_notifications(&self, customer: &Customer, account: &str, outcomes: &HashMap<String, Value>) {
        let wanted: HashSet<&str> = outcomes
            .values()
            .filter(|transfer| {
                transfer["from"] == *account
                    || (transfer["to"] == *account && transfer["status"] == "completed")
            })
            .map(|transfer| transfer["id"].as_str().unwrap())
            .collect();
        let told = until_ok("all notifications", || {
            let told: Vec<String> = customer
                .try_all("/v1/notifications")?
                .iter()
                .filter_map(|notification| Some(notification["transfer"].as_str()?.to_owned()))
                .collect();
            if told.len() >= wanted.len() {
                Ok(told)
            } else {
                Err(format!("{} of {}", told.len(), wanted.len()))
            }
        });
        // Whatever would come twice has had its time.
        assert_eq!(told.iter().map(|id| &**id).collect::<HashSet<_>>(), wanted);
        assert_eq!(told.len(), wanted.len(), "somebody was told twice");
    }
}

fn crash(shape: Shape, test: &str) {
    let mut seeds = Seeded::new(test);
    let mut bank = Bank::start(program!(), shape);
    // Signed in before the first crash: its session outlives all of them.
    let _ = bank.staff("auditor");
    let mut cast = Cast::new(&bank);
    let mut answers = Vec::new();
    for round in 0..ROUNDS {
        let since = cast.orders.len();
        let after = seeds.between(Duration::from_millis(5), Duration::from_millis(350));
        let part = bank.parts()[seeds.below(bank.parts().len() as u64) as usize];
        cast.burst(&bank, round, &mut seeds, |over| {
            std::thread::sleep(after);
            bank.signal(part, "KILL");
            // With five processes the others go on, and a moment of that belongs to the test.
            std::thread::sleep(Duration::from_millis(30));
            over.store(true, Ordering::SeqCst);
        });
        bank.kill(part);
        bank.start_missing();
        answers.extend(cast.repeat(&bank, since));
    }
    cast.check(&bank, &answers);
}

/// Each server in turn ends while customers send money, and is started again a moment later. PostgreSQL and Redis end as in a power
/// cut; see `JavaServer::end` for the others.
#[cfg(has_servers)]
#[test]
fn each_server_that_ends_and_comes_back_loses_and_doubles_nothing() {
    let test = "servers that end";
    let mut servers = bank_tests::Servers::start(test).expect("they were there when this was built");
    let mut seeds = Seeded::new(test);
    let bank = Bank::start_on(program!(), &servers);
    let _ = bank.staff("auditor");
    let mut cast = Cast::new(&bank);
    let mut answers = Vec::new();
    for round in 0..8 {
        let since = cast.orders.len();
        let after = seeds.between(Duration::from_millis(5), Duration::from_millis(350));
        let away = seeds.between(Duration::from_millis(5), Duration::from_millis(600));
        cast.burst(&bank, round, &mut seeds, |over| {
            std::thread::sleep(after);
            match round % 4 {
                0 => servers.postgres.kill(),
                1 => servers.dynamo.end(),
                2 => servers.mongo.end(),
                _ => servers.redis.kill(),
            }
            std::thread::sleep(away);
            match round % 4 {
                0 => servers.postgres.restart(),
                1 => servers.dynamo.restart(),
                2 => servers.mongo.restart(),
                _ => servers.redis.restart(),
            }
            over.store(true, Ordering::SeqCst);
        });
        answers.extend(cast.repeat(&bank, since));
    }
    cast.check(&bank, &answers);
}

#[test]
fn one_process_killed_at_random_moments_loses_and_doubles_nothing() {
    crash(Shape::One, "one process");
}

#[test]
fn five_processes_killed_at_random_moments_lose_and_double_nothing() {
    crash(Shape::Five, "five processes");
}

#[cfg(has_servers)]
#[test]
fn two_copies_of_each_part_on_servers_killed_at_random_moments_lose_and_double_nothing() {
    crash(Shape::OnServers, "two copies of each part on servers");
}
