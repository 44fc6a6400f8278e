//! A proxy in front of DynamoDB Local that tells which calls would be in each other's way.
//!
//! DynamoDB refuses a call whose items a transaction holds at that moment, as a conflict. DynamoDB Local lets it wait instead, so that no
//! answer would tell. So the proxy keeps the keys of all writes on their way, and counts each call that comes while one of its items is
//! held by a transaction. It holds them a little longer than the service would: what it counts is rather too much.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bank_benches::Failure;
use bytes::Bytes;
use http::StatusCode;
use http::header::TRANSFER_ENCODING;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An item's partition and sort.
type ItemKey = (String, String);

/// What was seen since the proxy was asked last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// How many `TransactWriteItems` were sent.
    pub(crate) transactions: u64,
    /// How many of them the server cancelled.
    pub(crate) cancelled: u64,
    /// How many writes met an item that a transaction held, by the letter that the item's partition begins with.
    pub(crate) conflicts: BTreeMap<char, u64>,
}

/// A running proxy, which ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    watched: Arc<Watched>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Watched {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    state: Mutex<InFlight>,
}

#[derive(Debug, Default)]
struct InFlight {
    /// How many transactions hold each item.
    held: HashMap<ItemKey, u32>,
    seen: Seen,
}

impl Proxy {
    /// A proxy in front of the server at this address, `http://HOST:PORT`.
    pub(crate) async fn before(upstream: &str) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let watched = Arc::new(Watched {
            upstream: upstream.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            state: Mutex::default(),
        });
        let router = Router::new().fallback(pass_on).with_state(watched.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the proxy ended: {error}");
            }
        });
        Ok(Self { address, watched, serving })
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was seen since this was asked last.
    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut self.watched.state().seen)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass_on(State(watched): State<Arc<Watched>>, request: Request) -> Response {
    watched.call(request).await.unwrap_or_else(|error| {
        eprintln!("the proxy cannot reach DynamoDB Local: {error}");
        StatusCode::BAD_GATEWAY.into_response()
    })
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, InFlight> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, request: Request) -> Result<Response, Failure> {
        let (mut head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await?;
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default().to_owned();
        let keys = written(&operation, &body);
        let is_transaction = operation == "TransactWriteItems";
        self.state().begin(&keys, is_transaction);
        head.uri = self.upstream.parse()?;
        let sent = self.client.request(http::Request::from_parts(head, Full::new(body))).await;
        let answer = match sent {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                body.collect().await.map(|body| (head, body.to_bytes())).map_err(Failure::from)
            }
            Err(error) => Err(error.into()),
        };
        if is_transaction {
            let is_cancelled = matches!(&answer, Ok((head, body))
                if !head.status.is_success() && is_cancellation(body));
            self.state().end(&keys, is_cancelled);
        }
        let (mut head, body) = answer?;
        // It has a length now.
        head.headers.remove(TRANSFER_ENCODING);
        Ok(Response::from_parts(head, Body::from(body)))
    }
}

impl InFlight {
    fn begin(&mut self, keys: &[ItemKey], is_transaction: bool) {
        self.seen.transactions += u64::from(is_transaction);
        let met = keys.iter().find(|key| self.held.contains_key(*key));
        if let Some(kind) = met.and_then(|(partition, _)| partition.chars().next()) {
            *self.seen.conflicts.entry(kind).or_default() += 1;
        }
        if is_transaction {
            for key in keys {
                *self.held.entry(key.clone()).or_default() += 1;
            }
        }
    }

    /// A transaction was answered.
    fn end(&mut self, keys: &[ItemKey], is_cancelled: bool) {
        self.seen.cancelled += u64::from(is_cancelled);
        for key in keys {
            if let Some(holders) = self.held.get_mut(key) {
                *holders -= 1;
                if *holders == 0 {
                    self.held.remove(key);
                }
            }
        }
    }
}

fn is_cancellation(body: &[u8]) -> bool {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    error["__type"].as_str().is_some_and(|kind| kind.ends_with("TransactionCanceledException"))
}

/// The items that a call writes, or checks in a transaction.
fn written(operation: &str, body: &[u8]) -> Vec<ItemKey> {
    let call: Value = serde_json::from_slice(body).unwrap_or_default();
    let actions: Vec<&Value> = match operation {
        "TransactWriteItems" => {
            let actions = call["TransactItems"].as_array().into_iter().flatten();
            actions.filter_map(Value::as_object).flat_map(|action| action.values()).collect()
        }
        "PutItem" | "UpdateItem" | "DeleteItem" => vec![&call],
        _ => Vec::new(),
    };
    actions.into_iter().filter_map(key).collect()
}

fn key(action: &Value) -> Option<ItemKey> {
    let attributes = action.get("Key").or_else(|| action.get("Item"))?;
    let text = |name: &str| Some(attributes.get(name)?.get("S")?.as_str()?.to_owned());
    Some((text("pk")?, text("sk")?))
}
