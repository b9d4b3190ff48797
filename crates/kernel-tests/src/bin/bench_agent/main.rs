//! The agent's figures as one table, each with the bar it is held to; `cargo xtask bench agent` builds and runs this.
//!
//! Progress goes to stderr, the table to stdout. A figure that misses its bar is told as such and fails nothing: on a
//! shared machine it may be noise. What could not be measured is in the table too, and does fail the command.
#![forbid(unsafe_code)]

mod attribution;
mod cost;
mod footprint;
mod load;
mod loss;
mod options;
mod programs;
mod table;
mod usage;

use std::{
    env,
    panic::{self, AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use options::{Effort, Options};
use table::Row;

/// A group of figures that one set-up gives.
struct Measurement {
    /// `PART` or `PART/DETAIL`, by which it is chosen.
    name: String,
    measure: Box<dyn Fn(Effort) -> Vec<Row>>,
}

impl Measurement {
    fn new(name: impl Into<String>, measure: impl Fn(Effort) -> Vec<Row> + 'static) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }

    /// Takes the figures; a set-up that fails gives a row that says so.
    fn run(&self, effort: Effort) -> Vec<Row> {
        eprintln!("==> {}", self.name);
        let rows = catch_unwind(AssertUnwindSafe(|| (self.measure)(effort)));
        rows.unwrap_or_else(|panic| vec![Row::not_measured(&self.name, &message(panic.as_ref()))])
    }
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

fn all() -> Vec<Measurement> {
    let mut all = attribution::all();
    all.extend(cost::all());
    all.extend(loss::all());
    all.extend(footprint::all());
    all
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench_agent: error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let all = all();
    let names: Vec<&str> = all.iter().map(|measurement| measurement.name.as_str()).collect();
    let options = Options::parse(env::args().skip(1), &names)?;
    programs::check()?;
    let chosen = all.iter().filter(|measurement| options.chooses(&measurement.name));
    let conditions = usage::conditions();
    // The table has what went wrong; a trace of the stack says no more.
    panic::set_hook(Box::new(|panic| eprintln!("    {}", message(panic.payload()))));
    let rows: Vec<Row> = chosen.flat_map(|measurement| measurement.run(options.effort)).collect();
    print!("{conditions}\n\n{}", table::markdown(&rows));
    Ok(match rows.iter().all(Row::is_measured) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
