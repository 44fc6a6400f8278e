//! The few calls of WebDriver (W3C) that the browser tests need, over the same client as everything else.

use std::path::Path;

use serde_json::{Value, json};

use super::process::Process;
use edge_tests::{Client, HeldPort, Request, until};

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser session at a driver.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    path: String,
    _driver: Process,
    _port: HeldPort,
}

impl Session {
    /// Starts a driver and a browser.
    pub(crate) fn start(driver: &Path, capabilities: &Value, directory: &Path) -> Self {
        let port = HeldPort::new();
        let process =
            Process::start(driver, &[format!("--port={}", port.number())], "chromedriver", directory);
        let client = Client::new(vec![port.address()]);
        until("the browser's driver", || {
            let status = client.try_send(Request::get("/status")).ok()?;
            (status.status == 200 && status.json()["value"]["ready"] == true).then_some(())
        });
        let made = client.send(
            Request::post("/session").json(&json!({ "capabilities": { "alwaysMatch": capabilities } })),
        );
        let id = made.expect(200)["value"]["sessionId"].as_str().unwrap().to_owned();
        Self { client, path: format!("/session/{id}"), _driver: process, _port: port }
    }

    /// `POST`, and the value of the answer; the driver's message where it refuses.
    pub(crate) fn try_post(&self, call: &str, body: &Value) -> Result<Value, String> {
        let answer = self.client.send(Request::post(format!("{}{call}", self.path)).json(body));
        let mut answer_body = answer.json();
        let value = answer_body["value"].take();
        if answer.status == 200 { Ok(value) } else { Err(format!("{call}: {}", value["message"])) }
    }

    #[track_caller]
    pub(crate) fn post(&self, call: &str, body: &Value) -> Value {
        self.try_post(call, body).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, call: &str) -> Value {
        self.client.send(Request::get(format!("{}{call}", self.path))).expect(200)["value"].take()
    }

    #[track_caller]
    pub(crate) fn delete(&self, call: &str) {
        let _ = self.client.send(Request::delete(format!("{}{call}", self.path))).expect(200);
    }

    /// The id of the first element that a CSS selector finds.
    pub(crate) fn find(&self, selector: &str) -> Result<String, String> {
        let found = self.try_post("/element", &json!({ "using": "css selector", "value": selector }))?;
        found[ELEMENT].as_str().map(ToOwned::to_owned).ok_or_else(|| format!("no element: {found}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The driver ends its browser with the session, and is ended itself afterwards.
        let _ = self.client.try_send(Request::delete(self.path.clone()));
    }
}
