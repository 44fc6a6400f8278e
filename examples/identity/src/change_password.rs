//! Another password for a customer who knows the one until now.

use std::sync::Arc;

use bank_sdk::{Call, Empty, Problem, Reply};
use bank_stores::items::{Change, Condition, Transaction};
use bank_stores::{ItemsExt as _, random};
use http::StatusCode;

use crate::guesses::forgiven;
use crate::password::{WANTED, is_acceptable};
use crate::service::Identity;
use crate::user::user_key;
use crate::wire::NewPassword;

impl Identity {
    pub(crate) async fn change_password(
        self: Arc<Self>,
        call: Call<NewPassword>,
    ) -> Result<Reply<Empty>, Problem> {
        let (customer, current, new) =
            (call.subject()?, call.input.current.expose(), call.input.new.expose());
        if !is_acceptable(new) {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`new` {WANTED}"))
                .with_code("invalid_password")
                .with_field("new", WANTED));
        }
        self.enter_guess(customer).await?;
        let (mut user, version) = self.users.stored(customer).await?.ok_or_else(Problem::not_found)?;
        let id = random::id(&*self.random, "password:");
        let write = if self.passwords.verify(current, Some(&user.password_hash)).await? {
            user.password_hash = self.passwords.hash(new).await?;
            let change = Change::put(user_key(&user.username), &user)?.when(Condition::Version(version));
            Transaction::new(id).change(change).change(forgiven(customer))
        } else if self.passwords.verify(new, Some(&user.password_hash)).await? {
            // Sent again after the answer got lost: it is done.
            Transaction::new(id).change(forgiven(customer))
        } else {
            return Err(wrong());
        };
        self.users.items.commit_one(write).await?;
        self.end_others(customer, call.principal.as_deref()).await
    }
}

fn wrong() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "the current password is wrong")
        .with_code("wrong_password")
        .with_field("current", "is wrong")
}
