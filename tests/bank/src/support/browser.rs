//! A real Chromium, as a person would have it before them.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::webdriver::Session;
use edge_tests::{until, until_ok};

/// A browser with one empty profile.
#[derive(Debug)]
pub struct Browser {
    session: Session,
    _directory: TempDir,
}

/// An element of the page. It is looked for again where the page has replaced it meanwhile.
#[derive(Debug)]
pub struct Element<'a> {
    browser: &'a Browser,
    selector: String,
}

impl Browser {
    /// Starts a browser; where there is none, says so and returns nothing. With `BANK_TEST_REQUIRE=1` that is a failure.
    ///
    /// # Panics
    /// See above.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        Self::with_preferences(test, &json!({}))
    }

    /// A browser that keeps no cookies.
    ///
    /// # Panics
    /// As `start` does.
    #[must_use]
    pub fn without_cookies(test: &str) -> Option<Self> {
        Self::with_preferences(test, &json!({ "profile.default_content_setting_values.cookies": 2 }))
    }

    fn with_preferences(test: &str, preferences: &Value) -> Option<Self> {
        let driver = find_program("CHROMEDRIVER", &["chromedriver"]);
        let chromium = find_program("CHROMIUM", &["chromium", "chromium-browser", "google-chrome"]);
        let (driver, chromium) = match (driver, chromium) {
            (Some(driver), Some(chromium)) => (driver, chromium),
            (None, _) => return super::skip(test, "no chromedriver"),
            (_, None) => return super::skip(test, "no chromium"),
        };
        let directory = tempfile::Builder::new().prefix("bank-browser-").tempdir().unwrap();
        let profile = directory.path().join("profile");
        std::fs::create_dir(&profile).unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
            "--lang=en-GB",
        ];
        let mut arguments: Vec<String> = arguments.map(ToOwned::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": chromium, "args": arguments, "prefs": preferences },
        });
        let session = Session::start(&driver, &capabilities, directory.path());
        Some(Self { session, _directory: directory })
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.session.post("/url", &json!({ "url": url }));
    }

    /// Opens another tab, which is in front from now on, and returns its name.
    #[must_use]
    #[track_caller]
    pub fn new_tab(&self) -> String {
        let tab = self.session.post("/window/new", &json!({ "type": "tab" }));
        let tab = tab["handle"].as_str().unwrap().to_owned();
        self.switch_to(&tab);
        tab
    }

    /// The name of the tab in front.
    #[must_use]
    #[track_caller]
    pub fn tab(&self) -> String {
        self.session.get("/window").as_str().unwrap().to_owned()
    }

    /// Brings a tab to the front.
    #[track_caller]
    pub fn switch_to(&self, tab: &str) {
        self.session.post("/window", &json!({ "handle": tab }));
        self.command("Page.bringToFront", &json!({}));
    }

    /// Closes the tab in front. Another one has to be brought there before anything else.
    #[track_caller]
    pub fn close_tab(&self) {
        self.session.delete("/window");
    }

    /// Goes back in the history, as the button does.
    #[track_caller]
    pub fn back(&self) {
        self.session.post("/back", &json!({}));
    }

    /// Loads the page again.
    #[track_caller]
    pub fn reload(&self) {
        self.session.post("/refresh", &json!({}));
    }

    /// Takes the network away, or gives it back.
    #[track_caller]
    pub fn set_offline(&self, offline: bool) {
        let conditions =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.command("Network.enable", &json!({}));
        self.command("Network.emulateNetworkConditions", &conditions);
    }

    /// Loads nothing from addresses of these patterns, such as `*/name.js`, from now on.
    #[track_caller]
    pub fn block(&self, patterns: &[&str]) {
        self.command("Network.enable", &json!({}));
        self.command("Network.setBlockedURLs", &json!({ "urls": patterns }));
    }

    /// Shows the page as it would be printed, or as on a screen again.
    #[track_caller]
    pub fn set_printing(&self, printing: bool) {
        let media = if printing { "print" } else { "" };
        self.command("Emulation.setEmulatedMedia", &json!({ "media": media }));
    }

    /// A command of the DevTools protocol.
    #[track_caller]
    fn command(&self, name: &str, parameters: &Value) {
        self.session.post("/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }));
    }

    /// Waits until a script returns `true`.
    #[track_caller]
    pub fn wait_for(&self, what: &str, script: &str) {
        until(what, || (self.script(script) == true).then_some(()));
    }

    /// Waits until nothing can be seen of what a CSS selector finds.
    #[track_caller]
    pub fn gone(&self, selector: &str) {
        let hidden = format!(
            "const e = document.querySelector({}); return !(e && e.checkVisibility())",
            Value::from(selector)
        );
        self.wait_for(&format!("`{selector}` to go"), &hidden);
    }

    /// Sets the size of the page, as that of a phone.
    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true });
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What a script returns.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        self.session.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The element that a CSS selector finds, once it can be seen.
    #[track_caller]
    pub fn see(&self, selector: &str) -> Element<'_> {
        let visible = format!(
            "const e = document.querySelector({}); return Boolean(e && e.checkVisibility())",
            Value::from(selector)
        );
        until(&format!("`{selector}` on the page"), || (self.script(&visible) == true).then_some(()));
        Element { browser: self, selector: selector.to_owned() }
    }

    /// The text of the element that a CSS selector finds; nothing where there is none.
    #[must_use]
    #[track_caller]
    pub fn text(&self, selector: &str) -> Option<String> {
        let script = format!("return document.querySelector({})?.innerText ?? null", Value::from(selector));
        self.script(&script).as_str().map(ToOwned::to_owned)
    }

    /// Waits until the element's text fits, and returns it.
    #[track_caller]
    pub fn read(&self, selector: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = None;
        let mut look = || {
            last = self.text(selector);
            last.clone().filter(|text| fits(text))
        };
        if let Some(text) = look() {
            return text;
        }
        until(&format!("another text of `{selector}`"), look)
    }

    /// Presses keys, wherever the focus is. `\u{e004}` is Tab, `\u{e007}` Enter.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        self.session
            .post("/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// The id of the element that has the focus.
    #[must_use]
    #[track_caller]
    pub fn focus(&self) -> String {
        self.script("return document.activeElement?.id ?? ''").as_str().unwrap_or_default().to_owned()
    }

    /// The page as a picture (PNG).
    #[must_use]
    #[track_caller]
    pub fn screenshot(&self) -> Vec<u8> {
        STANDARD.decode(self.session.get("/screenshot").as_str().unwrap()).unwrap()
    }

    /// What the console says since it was asked last: errors, and refusals by the page's Content-Security-Policy.
    #[must_use]
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let log = self.session.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["message"].as_str().is_some_and(is_policy))
            .map(ToString::to_string)
            .collect()
    }
}

fn is_policy(message: &str) -> bool {
    message.contains("Content Security Policy") || message.contains("Content-Security-Policy")
}

impl Element<'_> {
    /// Clicks it.
    #[track_caller]
    pub fn click(&self) {
        self.tell("click", &json!({}));
    }

    /// Types into it.
    #[track_caller]
    pub fn write(&self, text: &str) {
        self.tell("value", &json!({ "text": text }));
    }

    /// Has this text and nothing else from now on.
    #[track_caller]
    pub fn fill(&self, text: &str) {
        self.clear();
        self.write(text);
    }

    /// Empties it.
    #[track_caller]
    pub fn clear(&self) {
        self.tell("clear", &json!({}));
    }

    /// Does something to it. Nothing was done where the driver refuses: the page may have just been drawn anew.
    #[track_caller]
    fn tell(&self, what: &str, body: &Value) {
        let session = &self.browser.session;
        until_ok(&format!("{what} `{}`", self.selector), || {
            let id = session.find(&self.selector)?;
            session.try_post(&format!("/element/{id}/{what}"), body)
        });
    }

    /// An attribute.
    #[must_use]
    #[track_caller]
    pub fn attribute(&self, name: &str) -> Option<String> {
        let (selector, name) = (Value::from(&*self.selector), Value::from(name));
        let value = self
            .browser
            .script(&format!("return document.querySelector({selector})?.getAttribute({name}) ?? null"));
        value.as_str().map(ToOwned::to_owned)
    }
}

/// The program that an environment variable names, or the first of these on the path.
fn find_program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
        .find(|file| is_file(file))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|facts| facts.is_file())
}
