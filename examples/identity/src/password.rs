//! Passwords: argon2id with OWASP's parameters (19 MiB, two passes, one lane), off the async threads, a few at once.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use bank_sdk::{Problem, opaque_string, password_spellings};
use bank_stores::Random;
use tokio::sync::Semaphore;

use crate::wire::PASSWORD_LENGTH;

/// Each takes 19 MiB and a core for some tens of milliseconds.
const AT_ONCE: usize = 2;

/// Hashes and checks passwords. Clones share the bound on how many are worked on at once.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    random: Arc<dyn Random>,
}

impl Passwords {
    /// With salts from `random`.
    #[must_use]
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)), random }
    }

    /// The hash of a password in its one spelling ([`opaque_string`]), as a PHC string.
    ///
    /// # Errors
    /// 500, which no password leads to.
    pub async fn hash(&self, password: &str) -> Result<String, Problem> {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        let password = opaque_string(password).unwrap_or(Cow::Borrowed(password)).into_owned();
        self.work(move || {
            let hash = ARGON2ID.hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|error| {
                tracing::error!(%error, "a password cannot be hashed");
                Problem::internal()
            })
        })
        .await?
    }

    /// Whether the password is the one that was hashed, in its one spelling or, as older ones, as it was given. Without a hash (no such user) the answer is no, and costs the
    /// same.
    ///
    /// # Errors
    /// 500, where the work was cut off.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, Problem> {
        let spellings: Vec<String> = password_spellings(password).map(Cow::into_owned).collect();
        let hash = hash.map(ToOwned::to_owned);
        let fits = move |spelling: &String| match &hash {
            Some(hash) => ARGON2ID.verify_password(spelling.as_bytes(), &**hash).is_ok(),
            None => {
                let work = ARGON2ID.hash_password_with_salt(spelling.as_bytes(), &[0; 16]);
                // The outcome means nothing, the time does.
                std::hint::black_box(work.is_ok());
                false
            }
        };
        self.work(move || spellings.iter().any(fits)).await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Problem::unavailable())?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even when nobody waits for it any longer.
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| Problem::internal())
    }
}

/// Whether a password may be taken: 10 to 128 characters in its one spelling, none of them a control character.
pub(crate) fn is_acceptable(password: &str) -> bool {
    opaque_string(password).is_some_and(|password| PASSWORD_LENGTH.contains(&password.chars().count()))
}

/// What is said of one that may not.
pub(crate) const WANTED: &str = "must have 10 to 128 characters, and no control character";

static ARGON2ID: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    let params = Params::new(19_456, 2, 1, None).expect("these parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bank_stores::SystemRandom;

    #[tokio::test]
    async fn s13_a_password_is_kept_as_argon2id_with_current_parameters_and_its_own_salt() {
        let passwords = Passwords::new(Arc::new(SystemRandom::new()));
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse").await.unwrap());
        assert!(passwords.verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct house", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct horse", Some("not a hash")).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
    }

    #[tokio::test]
    async fn however_a_password_is_typed_it_is_the_same_and_old_hashes_hold() {
        let passwords = Passwords::new(Arc::new(SystemRandom::new()));
        let (composed, apart) = ("p\u{e4}ssw\u{f6}rd-\u{fc}ber-12", "pa\u{308}sswo\u{308}rd-u\u{308}ber-12");
        for (hashed, typed) in [(composed, apart), (apart, composed), (apart, apart)] {
            let hash = passwords.hash(hashed).await.unwrap();
            assert!(passwords.verify(typed, Some(&hash)).await.unwrap(), "{hashed:?} {typed:?}");
        }
        let old = ARGON2ID.hash_password_with_salt(apart.as_bytes(), &[7; 16]).unwrap().to_string();
        assert!(passwords.verify(apart, Some(&old)).await.unwrap());
        assert!(!passwords.verify(composed, Some(&old)).await.unwrap());
    }

    #[test]
    fn characters_are_counted_in_the_one_spelling() {
        assert!(!is_acceptable(&"e\u{301}".repeat(9)) && is_acceptable(&"e\u{301}".repeat(10)));
        assert!(is_acceptable(&"e\u{301}".repeat(128)) && !is_acceptable(&"e\u{301}".repeat(129)));
        assert!(!is_acceptable("ten\tletters") && !is_acceptable(""));
    }
}
