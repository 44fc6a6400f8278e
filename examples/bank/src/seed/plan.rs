//! What happened in a bank that looks lived in: the same for the same numbers.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Salaries and rents come so often.
const MONTH: u32 = 30;

/// Who pays salaries and is paid rents.
pub(super) const BUSINESSES: [(&str, &str); 4] = [
    ("seed-payroll", "Payroll Office"),
    ("seed-housing", "Housing Cooperative"),
    ("seed-cafe", "Corner Café"),
    ("seed-grocer", "Market Grocer"),
];
const PAYROLL: usize = 0;
const HOUSING: usize = 1;
const CAFE: usize = 2;
const GROCER: usize = 3;

const FIRST: [&str; 16] = [
    "Mia", "Noah", "Lea", "Ben", "Ida", "Paul", "Ella", "Finn", "Emil", "Nora", "Jonas", "Clara", "Anton",
    "Maja", "Theo", "Lina",
];
const LAST: [&str; 15] = [
    "Meyer", "Silva", "Novak", "Rossi", "Jansen", "Dubois", "Kowalski", "Larsen", "Moreau", "Costa", "Weber",
    "Horvat", "Nilsson", "Romano", "Fischer",
];
const BETWEEN_FRIENDS: [&str; 6] =
    ["Dinner", "Thanks!", "Tickets", "Birthday", "Weekend trip", "Shared groceries"];

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) username: String,
    pub(super) name: String,
}

/// A payment that was made.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    /// Since the beginning; on the hour.
    pub(super) at: Duration,
    /// Places in the list of actors.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) cents: i64,
    pub(super) reference: &'static str,
    /// Its idempotency key.
    pub(super) key: String,
}

/// Everybody, businesses first, and all payments in their order.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) actors: Vec<Actor>,
    pub(super) payments: Vec<Payment>,
    /// What the payroll office needs for all salaries.
    pub(super) payroll_cents: i64,
}

impl Plan {
    pub(super) const PAYROLL: usize = PAYROLL;

    pub(super) fn new(customers: u32, days: u32) -> Self {
        let mut chance = Chance(u64::from(customers) << 32 | u64::from(days));
        let businesses =
            BUSINESSES.map(|(username, name)| Actor { username: username.to_owned(), name: name.to_owned() });
        let mut actors = businesses.to_vec();
        for number in 0..customers as usize {
            let (first, last) = (FIRST[number % FIRST.len()], LAST[number % LAST.len()]);
            actors.push(Actor {
                username: format!("{}-{:03}", first.to_lowercase(), number + 1),
                name: format!("{first} {last}"),
            });
        }
        let mut payments = Vec::new();
        let mut pay = |day: u32, hour: u64, from: usize, to: usize, cents: i64, reference: &'static str| {
            let at = DAY * day + Duration::from_secs(hour * 3_600);
            payments.push(Payment { at, from, to, cents, reference, key: String::new() });
        };
        for customer in BUSINESSES.len()..actors.len() {
            let salary = 2_000_00 + chance.below(2_500) as i64 * 100;
            let rent = salary * (25 + chance.below(15) as i64) / 100;
            for day in 0..days {
                match day % MONTH {
                    0 => pay(day, 6, PAYROLL, customer, salary, "Salary"),
                    2 => pay(day, 7, customer, HOUSING, rent, "Rent"),
                    _ => {}
                }
                if chance.below(100) < 40 {
                    pay(day, 8, customer, CAFE, 2_80 + chance.below(15) as i64 * 20, "Coffee");
                }
                if chance.below(100) < 30 {
                    pay(day, 18, customer, GROCER, 12_00 + chance.below(6_500) as i64, "Groceries");
                }
                if chance.below(100) < 10 {
                    let others = (actors.len() - BUSINESSES.len()) as u64;
                    let friend = BUSINESSES.len() + chance.below(others) as usize;
                    let reference = BETWEEN_FRIENDS[chance.below(BETWEEN_FRIENDS.len() as u64) as usize];
                    let hour = 12 + chance.below(10);
                    if friend != customer {
                        pay(day, hour, customer, friend, 5_00 + chance.below(55) as i64 * 100, reference);
                    }
                }
            }
        }
        payments.sort_by_key(|payment| payment.at);
        for (number, payment) in payments.iter_mut().enumerate() {
            payment.key = format!("seed-{number}");
        }
        let salaries = payments.iter().filter(|payment| payment.from == PAYROLL).map(|payment| payment.cents);
        Self { payroll_cents: salaries.sum::<i64>() + 1_000_000_00, actors, payments }
    }
}

/// SplitMix64: chance that is the same every time.
struct Chance(u64);

impl Chance {
    const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_give_the_same_bank_in_which_everybody_can_pay() {
        let (one, other) = (Plan::new(20, 90), Plan::new(20, 90));
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        assert!(one.payments.len() > 1_000);
        let mut balances = vec![0; one.actors.len()];
        balances[Plan::PAYROLL] = one.payroll_cents;
        let mut refused = 0;
        for payment in &one.payments {
            if balances[payment.from] < payment.cents {
                refused += 1;
                continue;
            }
            balances[payment.from] -= payment.cents;
            balances[payment.to] += payment.cents;
        }
        assert!(refused * 50 < one.payments.len(), "{refused} of {} lack money", one.payments.len());
        let names: std::collections::BTreeSet<_> = one.actors.iter().map(|actor| &actor.username).collect();
        assert_eq!(names.len(), one.actors.len());
    }
}
