//! Renews the file of [`crate::health`], from the reader thread: when that one hangs, the file grows old.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use crate::health::{SignOfLife, encode};

/// Time between two signs of life. Writing takes a few system calls, which the reader can spare this often.
const RENEW_EVERY_NS: u64 = 5_000_000_000;

/// The file, and when it is due.
#[derive(Debug)]
pub struct HealthFile {
    path: PathBuf,
    /// Written first and then renamed, so that nobody sees half a file.
    new: PathBuf,
    due_ns: u64,
    failing: bool,
}

impl HealthFile {
    /// Takes away what an agent that was killed may have left, which would speak for this one.
    pub fn new(path: PathBuf) -> Self {
        let mut new = OsString::from(&path);
        new.push(".new");
        let file = Self { path, new: new.into(), due_ns: 0, failing: false };
        file.remove();
        file
    }

    /// Writes a sign of life if it is due; `sign` is asked for only then. A file that cannot be written never stops the
    /// agent: it is said once, and again only after it has been well in between.
    pub fn tick(&mut self, now_ns: u64, sign: impl FnOnce() -> SignOfLife) {
        if now_ns < self.due_ns {
            return;
        }
        self.due_ns = now_ns.saturating_add(RENEW_EVERY_NS);
        match self.write(encode(&sign()).as_bytes()) {
            Ok(()) if self.failing => {
                self.failing = false;
                info!(path = %self.path.display(), "the health file can be written again");
            }
            Ok(()) => {}
            Err(error) => {
                if !self.failing {
                    warn!(
                        path = %self.path.display(),
                        %error,
                        "cannot write the health file, so health checks will fail; tracing goes on"
                    );
                }
                self.failing = true;
            }
        }
    }

    /// Removes the file: the agent has stopped.
    pub fn remove(&self) {
        for path in [&self.path, &self.new] {
            if let Err(error) = remove_if_there(path) {
                warn!(path = %path.display(), %error, "cannot remove the health file");
            }
        }
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        // What lies there was left by an agent that was killed, or is a link that somebody hopes to have written
        // through: a file that is made anew follows no link.
        remove_if_there(&self.new)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.new)?;
        let written = file.write_all(text).and_then(|()| fs::rename(&self.new, &self.path));
        if written.is_err() {
            // The error that matters is the one at hand.
            let _ = remove_if_there(&self.new);
        }
        written
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{check, tests::sign};
    use std::{cell::Cell, os::unix::fs::symlink, time::Duration};

    const S: u64 = 1_000_000_000;
    const MAX_AGE: Duration = Duration::from_secs(15);

    #[test]
    fn it_is_renewed_every_five_seconds_and_removed() {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("health");
        fs::write(&path, "left over").expect("write");
        let mut file = HealthFile::new(path.clone());
        assert!(!path.exists());
        let asked = Cell::new(0);
        let mut tick = |now: u64| {
            file.tick(now, || {
                asked.set(asked.get() + 1);
                sign(now)
            });
        };
        for (now, written, times) in
            [(100, 100, 1), (104, 100, 1), (105, 105, 2), (109, 105, 2), (130, 130, 3), (131, 130, 3)]
        {
            tick(now * S);
            assert_eq!(check(&path, now * S, MAX_AGE).expect("fresh").monotonic_ns, written * S, "{now}");
            assert_eq!(asked.get(), times, "{now}");
        }
        let names = || fs::read_dir(directory.path()).expect("list").count();
        assert_eq!(names(), 1);
        file.remove();
        assert_eq!(names(), 0);
        assert!(
            check(&path, 0, MAX_AGE)
                .expect_err("gone")
                .to_string()
                .starts_with("not attached yet or stopped: ")
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_tried_again() {
        let directory = tempfile::tempdir().expect("make a directory");
        let inner = directory.path().join("later");
        let path = inner.join("health");
        let mut file = HealthFile::new(path.clone());
        file.tick(S, || sign(S));
        assert!(file.failing);
        fs::create_dir(&inner).expect("make a directory");
        file.tick(2 * S, || sign(2 * S));
        assert!(!path.exists(), "tried again too soon");
        file.tick(6 * S, || sign(6 * S));
        assert!(!file.failing && path.exists());
    }

    #[test]
    fn a_directory_in_its_place_stays() {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("health");
        fs::create_dir_all(path.join("inner")).expect("make a directory");
        let mut file = HealthFile::new(path.clone());
        file.tick(S, || sign(S));
        assert!(file.failing && path.join("inner").is_dir());
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }

    #[test]
    fn links_are_replaced_and_not_followed() {
        let directory = tempfile::tempdir().expect("make a directory");
        let (path, precious) = (directory.path().join("health"), directory.path().join("precious"));
        fs::write(&precious, "precious").expect("write");
        let mut file = HealthFile::new(path.clone());
        for link in [&path, &directory.path().join("health.new")] {
            symlink(&precious, link).expect("link");
        }
        file.tick(S, || sign(S));
        assert_eq!(fs::read_to_string(&precious).expect("read"), "precious");
        assert_eq!(check(&path, S, MAX_AGE).expect("fresh"), sign(S));
    }
}
