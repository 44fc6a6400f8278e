//! Master keys in AWS KMS, which never leave it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use zeroize::Zeroizing;

use super::provider::{KeyMaterial, KeyProvider, WrappedKey};
use crate::aws::AwsOptions;
use crate::{Error, ErrorKind, Result};

/// The key of the encryption context that each data key is bound to.
const CONTEXT: &str = "bank-data-key";

/// How a key of AWS KMS is reached.
#[derive(Clone)]
#[must_use]
pub struct KmsOptions {
    /// The current key first.
    keys: Vec<String>,
    aws: AwsOptions,
}

impl KmsOptions {
    /// The symmetric key of this ARN or id, which is the current one. Region and credentials are those of the environment
    /// (variables, profile, container or instance), unless the ARN tells the region.
    ///
    /// # Errors
    /// `Invalid`, field `key`: 1 to 2,048 characters of `A-Z a-z 0-9 : / _ -`.
    pub fn new(key: &str) -> Result<Self> {
        let mut options = Self { keys: vec![checked(key)?], aws: AwsOptions::new() };
        // arn:aws:kms:REGION:ACCOUNT:key/ID
        if key.starts_with("arn:")
            && let Some(region) = key.split(':').nth(3)
        {
            options.aws.region(region)?;
        }
        Ok(options)
    }

    /// A key that older data keys are wrapped under: it unwraps and never wraps. Data keys under any other are refused, so that
    /// nobody who can write to the store of keys brings in one of their own.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn old_key(mut self, key: &str) -> Result<Self> {
        self.keys.push(checked(key)?);
        Ok(self)
    }

    /// The region, such as `eu-central-1`.
    ///
    /// # Errors
    /// `Invalid`, field `region`, for what is no region's name.
    pub fn region(mut self, region: &str) -> Result<Self> {
        self.aws.region(region)?;
        Ok(self)
    }

    /// Where the service is reached, instead of where the region's is. `http:` is for this machine alone; there, credentials may be
    /// left out.
    ///
    /// # Errors
    /// `Invalid`, field `endpoint`: no `https:` address, or `http:` to another machine.
    pub fn endpoint(mut self, url: &str) -> Result<Self> {
        self.aws.endpoint(url)?;
        Ok(self)
    }

    /// An access key, instead of the environment's: read it from a file.
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.aws.credentials = Some((id.into(), secret.into()));
        self
    }

    /// How long a connection may take; 1 s otherwise.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.aws.connect_timeout = timeout;
        self
    }

    /// How long one answer may take; 2 s otherwise. A call is sent three times at most.
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.aws.response_timeout = timeout;
        self
    }
}

fn checked(key: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte);
    // An alias may lead to another key one day, and nothing that is under the first one would open.
    let is_alias = key.starts_with("alias/") || key.contains(":alias/");
    if (1..=2_048).contains(&key.len()) && key.bytes().all(plain) && !is_alias {
        return Ok(key.to_owned());
    }
    Err(Error::invalid("key", "the ARN or the id of a key of AWS KMS, and no alias"))
}

impl fmt::Debug for KmsOptions {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsOptions")
            .field("keys", &self.keys)
            .field("region", &self.aws.region)
            .field("endpoint", &self.aws.endpoint)
            .finish_non_exhaustive()
    }
}

/// Wraps data keys under a key of AWS KMS (`Encrypt` and `Decrypt`, with the data key's id as encryption context).
///
/// KMS is asked when a data key is made and when one is read that is not in memory, and not for each value. It rotates the material of
/// a key by itself, under the same ARN; to go over to another key, name it as the current one, the old one as
/// [old](KmsOptions::old_key), and [rewrap](super::DataKeys::rewrap).
#[derive(Clone)]
pub struct KmsProvider {
    client: Client,
    keys: Vec<String>,
}

impl KmsProvider {
    /// A provider that is reached so. Nothing is sent yet.
    pub async fn open(options: KmsOptions) -> Self {
        // To wrap or unwrap twice does no more than once.
        let config = options.aws.load(RetryConfig::standard()).await;
        Self { client: Client::new(&config), keys: options.keys }
    }

    fn current_key(&self) -> Result<&str> {
        let current = self.keys.first().map(String::as_str);
        current.ok_or_else(|| Error::invalid("key", "there is no key"))
    }
}

#[async_trait]
impl KeyProvider for KmsProvider {
    async fn current(&self) -> Result<String> {
        self.current_key().map(str::to_owned)
    }

    async fn wrap(&self, key: &KeyMaterial, context: &str) -> Result<WrappedKey> {
        let master = self.current_key()?;
        let sent = self
            .client
            .encrypt()
            .key_id(master)
            .plaintext(Blob::new(key.expose().to_vec()))
            .encryption_context(CONTEXT, context)
            .send();
        let wrapped = sent.await.map_err(failed)?;
        match wrapped.ciphertext_blob() {
            Some(bytes) => Ok(WrappedKey::new(master, bytes.as_ref().to_vec())),
            None => Err(Error::new(ErrorKind::Unavailable, "AWS KMS gave no wrapped key")),
        }
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<KeyMaterial> {
        if !self.keys.contains(&wrapped.master) {
            let message =
                format!("the master key {} is neither the current one nor an old one", wrapped.master);
            return Err(Error::new(ErrorKind::Denied, message).with_field("master"));
        }
        let sent = self
            .client
            .decrypt()
            .key_id(&wrapped.master)
            .ciphertext_blob(Blob::new(wrapped.bytes.clone()))
            .encryption_context(CONTEXT, context)
            .send();
        let opened = sent.await.map_err(failed)?;
        let bytes = opened.plaintext().map(|blob| Zeroizing::new(blob.as_ref().to_vec())).unwrap_or_default();
        let key = <[u8; 32]>::try_from(bytes.as_slice());
        key.map(KeyMaterial::new).map_err(|_| Error::new(ErrorKind::Damaged, "a data key has 32 bytes"))
    }
}

/// What the service answers where it does not do what was asked, by its codes.
fn failed<E>(error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let code = match &error {
        SdkError::ServiceError(service) => service.err().code(),
        SdkError::ConstructionFailure(_) => Some("ValidationException"),
        _ => None,
    };
    let (kind, message) = match code {
        Some(
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "ExpiredTokenException",
        ) => (ErrorKind::Denied, "AWS KMS does not let this user use the key"),
        Some("NotFoundException") => (ErrorKind::Denied, "AWS KMS has no such key here"),
        Some("DisabledException" | "KMSInvalidStateException" | "InvalidKeyUsageException") => {
            (ErrorKind::Denied, "the key of AWS KMS is disabled, or is no key to encrypt with")
        }
        Some("InvalidCiphertextException" | "IncorrectKeyException") => {
            (ErrorKind::Denied, "the data key does not open under this key and context")
        }
        Some("ValidationException") => (ErrorKind::Invalid, "AWS KMS does not take what it was sent"),
        // Nothing happened: it is throttled, away, or too slow.
        _ => (ErrorKind::Unavailable, "AWS KMS cannot be reached, or has too much to do"),
    };
    Error::new(kind, message).with_source(error)
}

impl fmt::Debug for KmsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsProvider").field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        for key in ["", "a b", "key\n", "alias/bank", &"x".repeat(2_049)] {
            assert_eq!(KmsOptions::new(key).unwrap_err().field(), Some("key"), "{key}");
        }
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
        let options = KmsOptions::new(arn).unwrap();
        assert_eq!(options.aws.region.as_deref(), Some("eu-central-1"));
        assert_eq!(options.clone().region("EU").unwrap_err().field(), Some("region"));
        assert_eq!(options.clone().endpoint("http://10.0.0.1").unwrap_err().field(), Some("endpoint"));
        let shown = format!("{:?}", options.credentials("ID", "s3cret"));
        assert!(!shown.contains("s3cret") && !shown.contains("ID"), "{shown}");
    }
}
