//! What the service answers where it does not do what was asked, by its codes.

use std::error::Error as StdError;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::{Error, ErrorKind};

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Nothing happened, and the same may do soon: it is throttled, in conflict, or not reached.
    NotNow,
    /// There is no answer: it may have happened.
    Lost,
    /// It was refused, and would be again.
    Refused,
}

/// What a try has met, which was sent or not.
pub(super) fn met<E: ProvideErrorMetadata>(error: &SdkError<E>, was_sent: bool) -> Met {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) | SdkError::DispatchFailure(_)
            if !was_sent =>
        {
            Met::NotNow
        }
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Met::Lost,
        SdkError::DispatchFailure(failure) => {
            let refused = failure.as_connector_error().and_then(|error| cause::<io::Error>(error));
            let refused = refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            // Only connecting has a timeout of the connector's own.
            if refused || failure.is_timeout() || failure.is_user() { Met::NotNow } else { Met::Lost }
        }
        SdkError::ServiceError(service) => match service.err().code() {
            Some(
                "ThrottlingException"
                | "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "TransactionConflictException"
                | "TransactionInProgressException",
            ) => Met::NotNow,
            _ if service.raw().status().as_u16() >= 500 => Met::Lost,
            _ => Met::Refused,
        },
        _ => Met::Refused,
    }
}

/// The first error of this type among an error and its causes.
fn cause<'a, C: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a C> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The reasons why a transaction was cancelled, one for each of its actions.
pub(super) enum Reason {
    /// There was none in this action.
    None,
    /// Its condition did not hold.
    Condition,
    /// It may do soon.
    NotNow,
    /// It would be refused again.
    Refused,
}

impl Reason {
    pub(super) fn of(code: Option<&str>) -> Self {
        match code {
            None | Some("None") => Self::None,
            Some("ConditionalCheckFailed") => Self::Condition,
            Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => Self::NotNow,
            Some(_) => Self::Refused,
        }
    }
}

/// The last error of a call that is given up; `lost` says whether any of its tries may have had an effect.
pub(super) fn given_up<E>(error: SdkError<E>, lost: bool) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let code = match &error {
        SdkError::ServiceError(service) => service.err().code(),
        _ => None,
    };
    let (kind, message) = match code {
        _ if lost => {
            (ErrorKind::Indeterminate, "DynamoDB did not answer: what was asked for may have happened")
        }
        _ if cause::<CredentialsError>(&error).is_some() => {
            let message = "there are no credentials to call DynamoDB with: see what the environment gives";
            (ErrorKind::Unavailable, message)
        }
        _ if met(&error, true) != Met::Refused => {
            (ErrorKind::Unavailable, "DynamoDB cannot be reached, or has too much to do")
        }
        Some("ResourceNotFoundException") => {
            let message = "DynamoDB has no such table here; docs/stores.md says how it is made";
            return Error::invalid("table", message).with_source(error);
        }
        Some(
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignatureException"
            | "InvalidClientTokenId",
        ) => (ErrorKind::Denied, "DynamoDB does not let this user do that"),
        Some("ValidationException") => (ErrorKind::Invalid, "DynamoDB does not take what it was sent"),
        None => (ErrorKind::Invalid, "DynamoDB cannot be used as the options and the environment say"),
        _ => (ErrorKind::Unavailable, "DynamoDB refused the call for now"),
    };
    Error::new(kind, message).with_source(error)
}
