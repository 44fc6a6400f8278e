//! What is sealed is in no byte of a store's files.

use std::path::Path;

use bank_stores::documents::{Collection, DocumentChange, DocumentWrite};
use bank_stores::items::{Change, Key, Transaction};
use bank_stores::ledger::{
    AccountId, Annotation, ChangeId, Command, Floor, OpenAccount, OwnerId, Posting, PostingId,
};
use bank_stores::outbox::NewEvent;
use bank_stores::seal::SealedFields;
use bank_stores::{Currency, Documents, DocumentsExt, ItemsExt, Ledger, LedgerExt, Money};
use serde_json::json;

use crate::ground::Ground;

const COUNT: usize = 1_000;

/// A text of the `n`th thing of this kind, which stands nowhere else.
fn planted(kind: &str, n: usize) -> String {
    format!("pl4nt3d-{kind}-{n:04}")
}

/// Every byte of every file below a directory.
pub(crate) fn bytes_of(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    all
}

fn assert_nowhere(directory: &Path) {
    let files = bytes_of(directory);
    assert!(files.len() >= 6 && files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > COUNT * 100);
    for (path, bytes) in files {
        // What all planted texts begin with, as text and as the base64 of any of its three offsets.
        for wanted in ["pl4nt3d", "cGw0bnQz", "NG50M2Qt", "bDRudDNk"] {
            let found = bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes());
            assert!(!found, "{path} holds {wanted}");
        }
    }
}

#[tokio::test]
async fn nothing_planted_is_in_any_byte_of_the_files() {
    let ground = Ground::new().await;
    let items = ground.items("users");
    let fields = SealedFields::new().seal_indexed("secrets", "email").seal("secrets", "secret");
    let documents = ground.documents(fields).await;
    documents.declare(&Collection::new("secrets").unique("email", ["email"])).await.unwrap();
    let ledger = ground.ledger().await;
    let account = |n: usize| AccountId::new(format!("acc{n}")).unwrap();
    let cash = OpenAccount::new(AccountId::new("cash").unwrap(), Currency::EUR).floor(Floor::None);
    ledger.open(cash).await.unwrap();
    for n in 0..COUNT {
        let owner = format!("cus{}", n % 50);
        let user = json!({ "name": planted("name", n), "email": planted("email", n) });
        let told = NewEvent::new(format!("e{n}"), format!("of#{owner}"), "named", user.clone());
        let put = Change::put(Key::new(format!("of#{owner}"), format!("{n}")), &user).unwrap();
        items.commit_one(Transaction::new(format!("w{n}")).change(put).event(told)).await.unwrap();

        let body = json!({ "of": owner, "email": planted("address", n), "secret": { "hook": planted("secret", n) } });
        let insert = DocumentChange::insert(format!("d{n}"), &body).unwrap();
        documents.write_one("secrets", DocumentWrite::new(format!("w{n}"), insert)).await.unwrap();

        let open = OpenAccount::new(account(n), Currency::EUR).owner(OwnerId::new(&owner).unwrap());
        let id = PostingId::new(format!("p{n}")).unwrap();
        let posting = Posting::new(id.clone(), "gift")
            .transfer(AccountId::new("cash").unwrap(), account(n), Money::from_minor(1, Currency::EUR))
            .reference(planted("reference", n))
            .metadata("memo", planted("memo", n));
        let note = Annotation::new(ChangeId::new(format!("n{n}")).unwrap(), id, planted("note", n));
        let commands: Vec<Command> = vec![open.name(planted("label", n)).into(), posting.into(), note.into()];
        for outcome in ledger.execute(commands).await {
            outcome.unwrap();
        }
    }
    // While the logs are there.
    assert_nowhere(ground.directory.path());
    let rows = ground.rows.clone();
    let directory = ground.directory.path().to_owned();
    drop((items, documents, ledger));
    rows.close().await;
    assert_nowhere(&directory);
}
