//! The ids of transactions: what is known of one, and how it gets its outcome for good.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::DynamoItems;
use super::calls::{Effect, call};
use super::error::given_up;
use super::rows::{At, Row, bytes_of, number_of, remembered, text_of, unreadable};
use crate::items::{Committed, Settled, WriteId};
use crate::{Error, ErrorKind, Result};

/// What an id's row says.
#[derive(Debug)]
pub(super) enum Known {
    /// It took effect with this content, in the call that had this number.
    Committed { content: Vec<u8>, owner: u64, committed: Committed },
    /// It never will.
    Never,
}

impl Known {
    pub(super) fn read(id: &WriteId, row: &Row) -> Result<Self> {
        if row.contains_key("never") {
            return Ok(Self::Never);
        }
        let versions = text_of(row, "vs")?.split(',').filter(|version| !version.is_empty());
        let versions =
            versions.map(|version| version.parse().map_err(|_| unreadable("vs"))).collect::<Result<_>>()?;
        Ok(Self::Committed {
            content: bytes_of(row, "f")?.to_vec(),
            owner: number_of(row, "o")?,
            committed: Committed::new(id.clone(), versions),
        })
    }

    /// The outcome of a transaction with this content, sent in the call of this number, under an id that is taken.
    pub(super) fn outcome(self, wanted: &[u8; 32], caller: u64) -> Result<Committed> {
        match self {
            // This call's own: only its answer got lost.
            Self::Committed { content, owner, committed } if content == wanted => {
                Ok(if owner == caller { committed } else { committed.replay() })
            }
            Self::Committed { .. } => {
                let message = "the same id was used for other content";
                Err(Error::new(ErrorKind::Conflict, message).with_field("id"))
            }
            Self::Never => {
                let message = "the transaction was settled: it never takes effect";
                Err(Error::new(ErrorKind::Rejected, message).with_field("id"))
            }
        }
    }

    fn settled(self) -> Settled {
        match self {
            Self::Committed { committed, .. } => Settled::Committed(committed),
            Self::Never => Settled::Never,
        }
    }
}

impl DynamoItems {
    pub(super) async fn known(&self, id: &WriteId) -> Result<Option<Known>> {
        id.validate()?;
        self.row(At::id(id.as_str())).await?.map(|row| Known::read(id, &row)).transpose()
    }

    /// Takes the id for good, where nothing was committed under it.
    pub(super) async fn settled(&self, id: &WriteId) -> Result<Settled> {
        if let Some(known) = self.known(id).await? {
            return Ok(known.settled());
        }
        let mut row = At::id(id.as_str()).row();
        row.insert("never".to_owned(), aws_sdk_dynamodb::types::AttributeValue::Bool(true));
        row.insert("ttl".to_owned(), remembered(self.lasting()));
        let put = || {
            let put = self.client.put_item().table_name(self.table()).set_item(Some(row.clone()));
            let put = put.condition_expression("attribute_not_exists(pk)");
            put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).send()
        };
        // Where its writer is just committing, it is asked again. It may be asked twice: it says the same then.
        let Err(error) = call(&self.breaker, "PutItem", Effect::None, self.deadline(), put).await? else {
            return Ok(Settled::Never);
        };
        match error.as_service_error() {
            Some(aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                failed,
            )) => {
                let row = failed.item().ok_or_else(|| unreadable("item"))?;
                Known::read(id, row).map(Known::settled)
            }
            _ => Err(given_up(error, false)),
        }
    }
}
