//! Why a service could not run, and the exit code that says so.

use std::{io, net::SocketAddr, process::ExitCode};

use crate::env::VarError;

/// Ends a service; its text is one line.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A variable has a value that cannot be used.
    #[error(transparent)]
    Variable(#[from] VarError),
    /// A setting that a library reads and refuses.
    #[error("{0}")]
    Setting(String),
    /// The command line asks for something that the service does not do.
    #[error("{0}")]
    Usage(String),
    /// The service that was asked for its health is not healthy, or did not answer.
    #[error("{0}")]
    Unhealthy(String),
    /// Something else listens on the address.
    #[error("port {} on {} is in use (choose another with PORT)", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    /// The address cannot be listened on for another reason.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// An operation of the running service failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Failure {
    /// The process's exit code: 2 for settings and the command line, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Variable(_) | Self::Setting(_) | Self::Usage(_) => 2,
            Self::Unhealthy(_) | Self::PortInUse(_) | Self::Listen { .. } | Self::Io { .. } => 1,
        }
    }
}

/// Turns the result of a service into its exit code, writing a failure as one line on stderr.
#[must_use]
pub fn report(program: &str, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{program}: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
