//! How many streams of events a customer reads at once: a few devices, not thousands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bank_sdk::Problem;
use http::StatusCode;

/// Open streams of one customer.
const AT_ONCE: usize = 8;

/// The open streams, by customer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<String, usize>>>);

/// One open stream.
#[derive(Debug)]
pub(crate) struct Open {
    streams: Streams,
    customer: String,
}

impl Streams {
    /// A place for one more.
    ///
    /// # Errors
    /// 429, where the customer has as many as one may.
    pub(crate) fn enter(&self, customer: &str) -> Result<Open, Problem> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(customer.to_owned()).or_default();
        if *count >= AT_ONCE {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "so many streams are open already; close one",
            )
            .with_code("too_many_streams")
            .with_retry_after(Duration::from_secs(5)));
        }
        *count += 1;
        Ok(Open { streams: self.clone(), customer: customer.to_owned() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.customer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.customer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_has_a_few_streams_and_a_closed_one_makes_room() {
        let streams = Streams::default();
        let mut held: Vec<Open> = (0..AT_ONCE).map(|_| streams.enter("ann").unwrap()).collect();
        assert_eq!(streams.enter("ann").unwrap_err().status(), 429);
        assert!(streams.enter("bea").is_ok());
        held.pop();
        assert!(streams.enter("ann").is_ok());
        held.clear();
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
