//! Prepares the front end's files: puts their version into the addresses by which they name each other, says in each page
//! which modules to load ahead, and compresses them.
//!
//! The version is a hash of all files, so an address never means two contents and browsers may keep what they have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=assets");
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("assets");
    let target = PathBuf::from(env::var("OUT_DIR")?);
    let files = read(&source)?;
    let version = version_of(&files);

    let mut table =
        format!("pub(crate) const VERSION: &str = {version:?};\npub(crate) const FILES: &[File] = &[\n");
    for (name, text) in &files {
        let text = if name.ends_with(".html") {
            text.replace("</head>", &(preloads(text, &files) + "</head>"))
        } else {
            text.clone()
        };
        let text = text.replace("/assets/", &format!("/assets/{version}/"));
        let plain = target.join(name);
        fs::write(&plain, &text)?;
        let gzip = smaller(&target.join(format!("{name}.gz")), gzip(text.as_bytes())?, text.len())?;
        let brotli = smaller(&target.join(format!("{name}.br")), brotli(text.as_bytes())?, text.len())?;
        writeln!(
            table,
            "File {{ name: {name:?}, plain: include_bytes!({plain:?}), gzip: {gzip}, brotli: {brotli}, tag: {:?} }},",
            hash(text.as_bytes())
        )?;
    }
    table.push_str("];\n");
    fs::write(target.join("files.rs"), table)?;
    Ok(())
}

/// All files by name.
fn read(source: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

fn version_of(files: &BTreeMap<String, String>) -> String {
    let mut all = String::new();
    for (name, text) in files {
        all.push_str(&format!("{name} {}\n{text}", text.len()));
    }
    hash(all.as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// One link for each module that the page's scripts import, directly or not, so that they load side by side. What is
/// imported by a call of `import()` loads when it is needed.
fn preloads(page: &str, files: &BTreeMap<String, String>) -> String {
    let scripts: BTreeSet<&str> = names(page, "src=\"/assets/", '"').collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = scripts.iter().copied().collect();
    while let Some(name) = open.pop() {
        let text = files.get(name).map_or("", String::as_str);
        for import in names(text, "from '/assets/", '\'').filter(|import| import.ends_with(".js")) {
            if !scripts.contains(import) && found.insert(import) {
                open.push(import);
            }
        }
    }
    found.iter().map(|name| format!("<link rel=\"modulepreload\" href=\"/assets/{name}\">\n")).collect()
}

fn names<'a>(text: &'a str, start: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let mut reader = bytes;
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 18, ..Default::default() };
    brotli::BrotliCompress(&mut reader, &mut compressed, &parameters)?;
    Ok(compressed)
}

/// Writes the compressed file where it is worth it, and returns the expression that includes it.
fn smaller(file: &Path, compressed: Vec<u8>, plain: usize) -> io::Result<String> {
    if compressed.len() >= plain {
        return Ok("None".to_owned());
    }
    fs::write(file, compressed)?;
    Ok(format!("Some(include_bytes!({file:?}))"))
}
