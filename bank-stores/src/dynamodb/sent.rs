//! Whether a call was sent: one that failed before, for want of credentials say, has had no effect.

use std::cell::Cell;

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

tokio::task_local! {
    static SENT: Cell<bool>;
}

/// The outcome of a call, and whether it was sent by a client that has a [`Watch`].
pub(super) async fn watched<T>(call: impl Future<Output = T>) -> (T, bool) {
    let watched = async { (call.await, SENT.with(Cell::get)) };
    SENT.scope(Cell::new(false), watched).await
}

/// Notes for [`watched`] that a call is being sent.
#[derive(Debug)]
pub(super) struct Watch;

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Who does not ask is not told.
        let _ = SENT.try_with(|sent| sent.set(true));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
    use tokio::time::Instant;

    use super::super::DynamoOptions;
    use super::super::calls::{Effect, plain};
    use super::super::options::client;
    use super::super::rows::text;
    use crate::ErrorKind;
    use crate::breaker::Breaker;

    /// An environment that gives no credentials.
    #[derive(Debug)]
    enum Keys {
        Missing,
        Late,
    }

    impl ProvideCredentials for Keys {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            match self {
                Self::Missing => {
                    future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("there are none")))
                }
                Self::Late => future::ProvideCredentials::new(std::future::pending()),
            }
        }
    }

    #[tokio::test]
    async fn a_write_without_credentials_was_never_sent_and_has_not_happened() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        for (keys, said) in [(Keys::Missing, "there are no credentials"), (Keys::Late, "cannot be reached")] {
            let options = DynamoOptions::new("bank").unwrap().endpoint(&endpoint).unwrap();
            let options = options.response_timeout(Duration::from_millis(50));
            let config = options.sdk_config().await.into_builder();
            let config = config.credentials_provider(SharedCredentialsProvider::new(keys)).build();
            let (client, minute) = (client(&config), Duration::from_secs(60));
            let breaker = Breaker::new("DynamoDB", minute, minute);
            let put = || client.put_item().table_name("bank").item("pk", text("x")).send();
            for _ in 0..3 {
                let deadline = Instant::now() + Duration::from_millis(200);
                let error = plain(&breaker, "PutItem", Effect::Some, deadline, put).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(error.message().contains(said), "{error:?}");
            }
            // Nobody waits for it again.
            let deadline = Instant::now() + minute;
            let error = plain(&breaker, "PutItem", Effect::Some, deadline, put).await.unwrap_err();
            assert!(error.message().contains("is away since"), "{error:?}");
        }
        assert!(listener.accept().is_err(), "nobody has called");
    }

    #[tokio::test]
    async fn a_write_that_was_sent_and_not_answered_may_have_happened() {
        // It takes connections, and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let options = DynamoOptions::new("bank").unwrap().endpoint(&endpoint).unwrap();
        let client = client(&options.response_timeout(Duration::from_millis(500)).sdk_config().await);
        let breaker = Breaker::new("DynamoDB", Duration::from_secs(60), Duration::from_secs(60));
        let put = || client.put_item().table_name("bank").item("pk", text("x")).send();
        let deadline = Instant::now() + Duration::from_secs(1);
        let error = plain(&breaker, "PutItem", Effect::Some, deadline, put).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    }
}
