//! The files of one audit: `NAME` is appended to; `NAME.000001` and so on were, the lowest number first.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The files that were appended to before, the oldest first.
pub(super) fn earlier(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory(path))? {
        let entry = entry?;
        let own = entry.file_name();
        let number =
            own.to_str().and_then(|own| own.strip_prefix(name)).and_then(|rest| rest.strip_prefix('.'));
        let is_number = |text: &&str| text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = number.filter(is_number).and_then(|text| text.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Opens the file that is appended to, for this process alone.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let taken = || io::Error::new(io::ErrorKind::WouldBlock, "another process appends to it");
    file.try_lock().map_err(|_| taken())?;
    // It may have been rotated away between the two.
    if !is_same(&file, path)? {
        return Err(taken());
    }
    // A crash between the two steps of a rotation leaves the same file under two names.
    if let Some((_, last)) = earlier(path)?.last()
        && is_same(&file, last)?
    {
        fs::remove_file(last)?;
    }
    Ok(file)
}

/// Gives the file that was appended to its number, and puts a new one in its place, without a moment in which there is none.
pub(super) fn rotate(path: &Path) -> io::Result<File> {
    let number = earlier(path)?.last().map_or(1, |(number, _)| number + 1);
    let (kept, fresh) = (with_suffix(path, &format!(".{number:06}")), with_suffix(path, ".new"));
    // Of a rotation that did not come to its end.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().create_new(true).append(true).read(true).mode(0o600).open(&fresh)?;
    file.try_lock().map_err(io::Error::from)?;
    fs::hard_link(path, &kept)?;
    if let Err(error) = fs::rename(&fresh, path) {
        // The next try would find the same file under two names.
        let _ = fs::remove_file(&kept);
        return Err(error);
    }
    File::open(directory(path))?.sync_all()?;
    Ok(file)
}

/// The last line without its end, and where it ends. What stands behind it was torn by a crash.
pub(super) fn last_line(file: &File) -> io::Result<(Option<Vec<u8>>, u64)> {
    let size = file.metadata()?.len();
    let mut window = 64 * 1024;
    loop {
        let start = size.saturating_sub(window);
        let mut tail = Vec::new();
        let mut from = file;
        from.seek(SeekFrom::Start(start))?;
        from.take(size - start).read_to_end(&mut tail)?;
        if let Some(end) = tail.iter().rposition(|&byte| byte == b'\n') {
            let begin = tail[..end].iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
            if begin.is_some() || start == 0 {
                let line = tail[begin.unwrap_or(0)..end].to_vec();
                return Ok((Some(line), start + end as u64 + 1));
            }
        } else if start == 0 {
            return Ok((None, 0));
        }
        window *= 2;
    }
}

/// Whether an open file is what stands at a path.
pub(super) fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let (own, other) = (file.metadata()?, fs::metadata(path)?);
    Ok(own.dev() == other.dev() && own.ino() == other.ino())
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
