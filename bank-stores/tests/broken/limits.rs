//! Limits, each broken in one way.

use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::MemoryLimits;
use bank_stores::limit::{Limits, NamedCharge, Rate, Verdict};
use bank_stores::{Result, conformance};

use super::{Running, assert_all_broken, caught};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Takes from each bucket for itself.
    TakesSingly,
    /// Puts the names of group and bucket one behind the other.
    RunsTogether,
    /// Looks first and takes later.
    LooksThenTakes,
    /// Twice as much flows back.
    FlowsTwice,
    /// Takes any number of charges.
    TakesTooMany,
    /// Takes one unit whatever it costs.
    TakesOne,
}

#[derive(Debug)]
struct Broken {
    inner: MemoryLimits,
    fault: Fault,
}

#[async_trait]
impl Limits for Broken {
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>> {
        match self.fault {
            Fault::TakesSingly => {
                let mut verdicts = Vec::new();
                for charge in charges {
                    verdicts.extend(self.inner.take(group, std::slice::from_ref(charge)).await?);
                }
                Ok(verdicts)
            }
            Fault::RunsTogether => {
                let joined = |charge: &NamedCharge| {
                    NamedCharge::new(format!("{group}:{}", charge.key), charge.rate, charge.cost)
                };
                self.inner.take("all", &charges.iter().map(joined).collect::<Vec<_>>()).await
            }
            Fault::LooksThenTakes => {
                let look = |charge: &NamedCharge| NamedCharge::new(&*charge.key, charge.rate, 0);
                let mut looked =
                    self.inner.take(group, &charges.iter().map(look).collect::<Vec<_>>()).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                let enough = looked.iter().zip(charges).all(|(seen, charge)| seen.remaining >= charge.cost);
                if !enough {
                    return self.inner.take(group, charges).await;
                }
                // What was seen is believed, whoever came between.
                let taken = self.inner.take(group, charges).await?;
                for (seen, taken) in looked.iter_mut().zip(taken) {
                    *seen = Verdict { allowed: true, ..taken };
                }
                Ok(looked)
            }
            Fault::FlowsTwice => {
                let twice = |charge: &NamedCharge| {
                    let rate = Rate::new(charge.rate.limit(), charge.rate.period() / 2);
                    NamedCharge::new(&*charge.key, rate.burst(charge.rate.quota()), charge.cost)
                };
                self.inner.take(group, &charges.iter().map(twice).collect::<Vec<_>>()).await
            }
            Fault::TakesTooMany => {
                let mut verdicts = Vec::new();
                for part in charges.chunks(16) {
                    verdicts.extend(self.inner.take(group, part).await?);
                }
                Ok(verdicts)
            }
            Fault::TakesOne => {
                let one =
                    |charge: &NamedCharge| NamedCharge::new(&*charge.key, charge.rate, charge.cost.min(1));
                self.inner.take(group, &charges.iter().map(one).collect::<Vec<_>>()).await
            }
            Fault::None => self.inner.take(group, charges).await,
        }
    }
}

type Promise = fn(&dyn Limits) -> Running<'_>;

macro_rules! faults {
    ($($fault:ident $promise:ident)*) => {
        const FAULTS: &[(Fault, &str, Promise)] = &[$((Fault::$fault, stringify!($promise), {
            fn promise(limits: &dyn Limits) -> Running<'_> {
                Box::pin(conformance::limits::$promise(limits))
            }
            promise
        })),*];
    };
}

faults! {
    TakesSingly limits_are_taken_all_or_none
    RunsTogether groups_are_apart
    LooksThenTakes a_limit_holds_among_racers
    FlowsTwice a_limit_holds_among_racers
    TakesTooMany bad_charges_are_refused_and_named
    TakesSingly random_charges_match_the_model
    TakesOne random_charges_match_the_model
}

async fn found(fault: Fault, promise: Promise) -> bool {
    let store = Broken { inner: MemoryLimits::new(), fault };
    caught(async move { promise(&store).await }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_limits_is_caught_and_sound_ones_are_not() {
    for (fault, name, promise) in FAULTS {
        assert!(found(*fault, *promise).await, "{fault:?} went unnoticed by {name}");
        assert!(!found(Fault::None, *promise).await, "sound limits were blamed by {name}");
    }
}

#[test]
fn each_promise_of_limits_has_a_store_that_breaks_it() {
    assert_all_broken("limits", &FAULTS.iter().map(|(_, name, _)| *name).collect::<Vec<_>>());
}
