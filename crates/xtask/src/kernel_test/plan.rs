//! What a guest is told to do, and what it tells.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the plan lies in the guest's first file system.
pub(super) const PLAN: &str = "/plan.json";
/// The file in the shared directory in which the guest tells how each test went, as [`Line`]s.
pub(super) const RESULTS: &str = "results";
/// Names of the two shared directories: the machine's root, and one to write to.
pub(super) const ROOT_TAG: &str = "root";
pub(super) const LOGS_TAG: &str = "logs";

/// One test function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Test {
    /// Its file in `tests/`, without the ending.
    pub(super) file: String,
    /// Its name in there.
    pub(super) name: String,
    /// The program that holds it.
    pub(super) program: PathBuf,
}

impl Test {
    /// Its name among all tests.
    pub(super) fn id(&self) -> String {
        format!("{}::{}", self.file, self.name)
    }

    /// The file that keeps what a test writes.
    pub(super) fn log_of(id: &str) -> String {
        format!("{}.log", id.replace("::", "."))
    }
}

/// What a guest is told to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Modules of the kernel, each after those that it needs.
    pub(super) modules: Vec<String>,
    /// Directories of the machine that must be there, also below those of which the guest has its own.
    pub(super) keep: Vec<PathBuf>,
    /// The search path.
    pub(super) path: String,
    /// The agent under test.
    pub(super) agent: PathBuf,
    /// The longest that one test may take, in seconds.
    pub(super) test_deadline_s: u64,
    pub(super) tests: Vec<Test>,
}

/// How a test went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// One line of the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Line {
    /// The guest is ready, so many seconds after its kernel started.
    Ready { seconds: f64 },
    /// A test begins.
    Begins { id: String },
    /// A test has ended.
    Ended { id: String, seconds: f64, outcome: Outcome },
    /// All tests have.
    End,
}
